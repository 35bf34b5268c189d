/// A column that a task reads, and what must be in it.
struct DataColumn: Sendable {
  enum Kind: Sendable {
    case text
    /// Text or a whole number, as text.
    case word
    /// A finite number.
    case number
    /// A list of texts, which JSON alone can hold.
    case texts
  }

  let name: String
  let kind: Kind
  let isRequired: Bool
  /// What must be in it, for messages.
  let expected: String

  init(_ name: String, _ kind: Kind = .text, isRequired: Bool = true, expected: String? = nil) {
    self.name = name
    self.kind = kind
    self.isRequired = isRequired
    self.expected =
      expected
      ?? {
        switch kind {
        case .text: "text"
        case .word: "text or a number"
        case .number: "a number"
        case .texts: "a list of texts"
        }
      }()
  }

  /// The data's own name for a row.
  static let id = DataColumn("id", .word, isRequired: false)
}

/// One row of the data, whatever the format: the wanted columns by name.
struct DataRow {
  enum Value: Equatable {
    case text(String)
    case number(Double)
    case texts([String])
  }

  /// Line of the file where the row begins, from 1.
  let line: Int
  private let values: [String: Value]

  init(line: Int, values: [String: Value]) {
    self.line = line
    self.values = values
  }

  /// The text of a column, nil if the row has none.
  func optionalText(_ column: String) -> String? {
    guard let value = values[column] else { return nil }
    guard case .text(let text) = value else { preconditionFailure("column \(column) is no text") }
    return text
  }

  func text(_ column: String) -> String {
    guard let text = optionalText(column) else { preconditionFailure("column \(column) is not a required one") }
    return text
  }

  func number(_ column: String) -> Double {
    guard case .number(let number)? = values[column] else { preconditionFailure("column \(column) is no number") }
    return number
  }

  func texts(_ column: String) -> [String] {
    guard case .texts(let texts)? = values[column] else { preconditionFailure("column \(column) is no list") }
    return texts
  }

  /// The `id`, or the line's number.
  var id: String { optionalText(DataColumn.id.name) ?? String(line) }
}
