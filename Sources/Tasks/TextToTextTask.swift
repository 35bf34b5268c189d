import Foundation

/// Free text to free text: the columns `source` and `target`, and `id` if there is one. Texts are taken as they are:
/// for a model that goes on from the source, the target begins with the space that should be between them.
public struct TextToTextTask: TextTask {
  public let name = "text"
  public let labels: [String] = []
  public let metrics = TaskMetrics.text
  public let metric = TaskMetric.loss
  public let forms: [ExampleForm] = [.textToText, .continuation]
  public let options: TextOptions

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }

  public var textColumns: [String] { ["source"] }

  public func question(_ texts: [String], index: Int) -> Example {
    Example(index: index, id: "\(index + 1)", source: options.apply(texts[0]), target: "")
  }

  public func examples(at location: URL) throws -> [Example] {
    var examples: [Example] = []
    try RowReader.forEachRow(of: location, columns: [.id, DataColumn("source"), DataColumn("target")]) { row in
      examples.append(
        Example(
          index: examples.count, id: row.id, source: options.apply(row.text("source")),
          target: options.apply(row.text("target"))))
    }
    return examples
  }
}
