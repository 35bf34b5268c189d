import Foundation

/// Free text to free text: JSONL with the columns `source` and `target`, and `id` if there is one.
public struct TextToTextTask: TextTask {
  public let name = "text"
  public let labels: [String] = []
  public let metric = TaskMetric.loss
  public let options: TextOptions

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }

  public func location(of split: DataSplit, in directory: URL) -> URL? {
    split.fileNames.map { directory.appendingPathComponent($0) }.first(where: DataFolder.exists)
  }

  private struct Row: Decodable, DescribedRow {
    let id: RowID?
    let source: String
    let target: String

    static func expected(_ column: String) -> String { column == "id" ? "text or a number" : "text" }
  }

  public func examples(at location: URL) throws -> [Example] {
    var examples: [Example] = []
    try JSONLines.forEachRow(of: location, as: Row.self) { row, line in
      examples.append(
        Example(
          index: examples.count, id: row.id?.text ?? String(line), source: options.apply(row.source),
          target: options.apply(row.target)))
    }
    return examples
  }
}

extension DataSplit {
  /// Names under which JSONL data of this part is looked for, the first one found counts.
  var fileNames: [String] {
    switch self {
    case .train: ["train.jsonl"]
    case .validation: ["validation.jsonl", "dev.jsonl"]
    case .test: ["test.jsonl"]
    }
  }
}

/// A row's `id`: text or a whole number.
struct RowID: Decodable {
  let text: String

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let number = try? container.decode(Int.self) {
      text = String(number)
    } else {
      text = try container.decode(String.self)
    }
  }
}
