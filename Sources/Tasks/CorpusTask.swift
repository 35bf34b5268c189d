import Foundation

/// Texts to pre-train on. Rows with the column `text` are plain texts, of which an ``Objective`` makes source and target; rows with
/// `source` and `target` are learned as they are, beside them: a supervised mixture, in the shares that the file has (Raffel et al.
/// 2020, §3.5). A file that is neither `.jsonl`, `.csv` nor `.tsv` has one plain text a line; lines of white space only are none.
public struct CorpusTask: TextTask {
  public let name = "corpus"
  public let labels: [String] = []
  public let metrics = TaskMetrics.tokens
  public let metric = TaskMetric.loss
  public let forms: [ExampleForm] = [.textToText, .continuation, .classification]
  public let options: TextOptions

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }

  /// Whatever text there is: of a corpus a model learns no question.
  public var textColumns: [String] { [] }

  public func question(_ texts: [String], index: Int) -> Example {
    Example(index: index, id: "\(index + 1)", source: options.apply(texts[0]), target: "")
  }

  public func examples(at location: URL) throws -> [Example] {
    var examples: [Example] = []
    guard DataFormat(rawValue: location.pathExtension.lowercased()) != nil else {
      for (number, text) in try TextCorpus.texts(of: location, columns: []).enumerated()
      where !text.allSatisfy(\.isWhitespace) {
        examples.append(plain(text, id: "\(number + 1)", index: examples.count))
      }
      guard !examples.isEmpty else { throw DataError.noExamples(location) }
      return examples
    }
    let columns = ["text", "source", "target"].map { DataColumn($0, isRequired: false) }
    try RowReader.forEachRow(of: location, columns: [.id] + columns) { row in
      // A table has every column in every row: those that do not count are empty.
      func text(_ column: String) -> String? { row.optionalText(column).flatMap { $0.isEmpty ? nil : $0 } }
      switch (text("text"), text("source"), text("target")) {
      case (let text?, nil, nil): examples.append(plain(text, id: row.id, index: examples.count))
      case (nil, let source?, let target?):
        guard options.form != .classification else {
          throw DataError.malformedRow(
            location, line: row.line,
            reason: "a pair of \"source\" and \"target\", which a model that names masked tokens cannot learn; "
              + "leave only rows with \"text\"")
        }
        examples.append(
          Example(
            index: examples.count, id: row.id, source: options.apply(source), target: options.apply(target)))
      default:
        throw DataError.malformedRow(
          location, line: row.line,
          reason: "expected either \"text\", or \"source\" and \"target\", and nothing of them empty")
      }
    }
    return examples
  }

  private func plain(_ text: String, id: String, index: Int) -> Example {
    Example(index: index, id: id, source: options.apply(text), target: "", isPlainText: true)
  }
}
