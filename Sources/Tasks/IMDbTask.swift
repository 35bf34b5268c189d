import Foundation

/// Film reviews, positive or negative (Maas et al. 2011, "Learning word vectors for sentiment analysis").
///
/// Data: `train.jsonl` and `test.jsonl`, or `.csv` and `.tsv`, with the columns `text` and `label` (1 positive, 0
/// negative), or the official `aclImdb` folders (`train/pos/*.txt`, `train/neg/*.txt`, the same under `test`). The
/// answer is the label's word.
public struct IMDbTask: TextTask {
  public let name = "imdb"
  public let labels = ["negative", "positive"]
  public let metric = TaskMetric.accuracy
  public var metrics: TaskMetrics { .labels(labels, matthews: false) }
  public let options: TextOptions

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }

  public func location(of split: DataSplit, in directory: URL) -> URL? {
    for name in split.fileNames {
      let file = directory.appendingPathComponent(name)
      if DataFolder.exists(file) { return file }
    }
    for root in [directory, directory.appendingPathComponent("aclImdb")] {
      let folder = root.appendingPathComponent(split.rawValue)
      if DataFolder.isDirectory(folder.appendingPathComponent("pos")) { return folder }
    }
    return nil
  }

  public func examples(at location: URL) throws -> [Example] {
    DataFolder.isDirectory(location) ? try folderExamples(location) : try lineExamples(location)
  }

  private func lineExamples(_ url: URL) throws -> [Example] {
    var examples: [Example] = []
    let names = LabelNames(labels)
    try RowReader.forEachRow(of: url, columns: [.id, DataColumn("text"), names.column]) { row in
      let label = try names.label(of: row, in: url)
      examples.append(example(examples.count, id: row.id, text: row.text("text"), label: label))
    }
    return examples
  }

  /// Sorted by file name, then negative before positive, so that any beginning of the data holds both labels.
  private func folderExamples(_ folder: URL) throws -> [Example] {
    var files: [(name: String, label: Int)] = []
    for (label, subfolder) in ["neg", "pos"].enumerated() {
      let url = folder.appendingPathComponent(subfolder)
      guard DataFolder.isDirectory(url) else {
        throw DataError.missing(
          folder, expected: "there is no folder \(subfolder); expected a JSONL file, or a folder with pos and neg")
      }
      files += try DataFolder.names(in: url, suffix: ".txt").map { ($0, label) }
    }
    guard !files.isEmpty else { throw DataError.noExamples(folder) }
    files.sort {
      $0.name == $1.name ? $0.label < $1.label : $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }
    return try files.enumerated().map { index, file in
      let path = "\(file.label == 0 ? "neg" : "pos")/\(file.name)"
      return example(
        index, id: String(path.dropLast(".txt".count)),
        text: try DataFolder.text(of: folder.appendingPathComponent(path)), label: file.label)
    }
  }

  public var textColumns: [String] { ["text"] }

  public func question(_ texts: [String], index: Int) -> Example {
    example(index, id: "\(index + 1)", text: texts[0], label: 0)
  }

  /// T5 has no name for the task: it reads the review as it is.
  private func example(_ index: Int, id: String, text: String, label: Int) -> Example {
    if options.form == .textToText {
      return Example(index: index, id: id, source: options.apply(text), target: labels[label], label: label)
    }
    return Self.wording.example(
      index: index, id: id, sentences: [text], answer: labels[label], label: label, options: options)
  }

  private static let wording = SentenceWording(taskName: "imdb", sentenceNames: ["text"], question: "Sentiment:")
}
