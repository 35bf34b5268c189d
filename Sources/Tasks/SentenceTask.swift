import Foundation

/// A task whose rows are one or two sentences and a label.
protocol SentenceTask: TextTask {
  /// The columns of the sentences.
  var sentences: [DataColumn] { get }
  var wording: SentenceWording { get }
}

extension SentenceTask {
  public var metric: TaskMetric { .accuracy }
  public var metrics: TaskMetrics { .labels(labels) }

  public var textColumns: [String] { sentences.map(\.name) }

  public func question(_ texts: [String], index: Int) -> Example {
    wording.example(index: index, id: "\(index + 1)", sentences: texts, answer: "", options: options)
  }

  public func columns(at location: URL) throws -> [String] { try RowReader.columns(sentences, at: location) }

  public func examples(at location: URL) throws -> [Example] {
    var examples: [Example] = []
    let names = LabelNames(labels)
    try RowReader.forEachRow(of: location, columns: [.id] + sentences + [names.column]) { row in
      let label = try names.label(of: row, in: location)
      examples.append(
        wording.example(
          index: examples.count, id: row.id, sentences: sentences.compactMap { row.optionalText($0.name) },
          answer: labels[label], label: label, options: options))
    }
    return examples
  }
}
