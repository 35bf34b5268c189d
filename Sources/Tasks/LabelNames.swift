import Foundation

/// The labels of a task and how data writes them: by number or by name, white space around it aside.
struct LabelNames: Sendable, Equatable {
  let names: [String]

  init(_ names: [String]) { self.names = names.map(\.trimmed) }

  /// The column that holds them.
  var column: DataColumn {
    let numbers = names.indices.map(String.init)
    return DataColumn("label", .word, expected: (1...3).contains(names.count) ? list(numbers, "or") : "a label")
  }

  /// What a row has for its label.
  func word(of row: DataRow) -> String { row.text(column.name).trimmed }

  /// The number of the label in a row.
  ///
  /// - Throws: `DataError.unknownLabel`; `.unlabelled` for −1, which stands for none.
  func label(of row: DataRow, in url: URL) throws -> Int {
    let word = word(of: row)
    if let label = names.firstIndex(where: { $0.isSame(as: word) }) { return label }
    // Names that are numbers are names: the data cannot mean something else by them.
    if !names.contains(where: { Int($0) != nil }), let label = names.indices.first(where: { String($0) == word }) {
      return label
    }
    if word == "-1" { throw DataError.unlabelled(url, line: row.line) }
    throw DataError.unknownLabel(
      url, line: row.line, found: word.isEmpty ? "\"\"" : word,
      known: list(names.enumerated().map { "\($0) (\($1))" }, "and"))
  }

  private func list(_ words: [String], _ link: String) -> String {
    guard let last = words.last, words.count > 1 else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " \(link) " + last
  }
}
