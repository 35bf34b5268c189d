import Diagnostics
import Foundation

/// How rows are written in a file.
enum DataFormat: String, CaseIterable {
  /// One JSON object per line.
  case jsonLines = "jsonl"
  /// Commas and quotes (RFC 4180), column names in the first row.
  case commas = "csv"
  /// Tabs; a quote is a character like any other, as in the files of GLUE. Column names in the first line.
  case tabs = "tsv"

  /// By the file's extension; JSON lines if it is none of these.
  init(of url: URL) { self = Self(rawValue: url.pathExtension.lowercased()) ?? .jsonLines }
}

/// Reads rows as named columns, whatever the file's format.
enum RowReader {
  /// Hands every row to `body`, with the wanted columns that it has.
  ///
  /// - Throws: `DataError`, naming file and line, for whatever the format does not allow and for a required column that
  ///   is missing or holds something else; and whatever `body` throws.
  static func forEachRow(
    of url: URL, columns: [DataColumn], _ body: (_ row: DataRow) throws -> Void
  ) throws {
    switch DataFormat(of: url) {
    case .jsonLines: try JSONLines.forEachRow(of: url, columns: columns, body)
    case .commas: try table(of: url, columns: columns, reader: CommaReader.self, body)
    case .tabs: try table(of: url, columns: columns, reader: TabReader.self, body)
    }
  }

  /// Those of `columns` that the first row of a file has.
  ///
  /// - Throws: `DataError`, as for reading the file.
  static func columns(_ columns: [DataColumn], at url: URL) throws -> [String] {
    guard columns.contains(where: { !$0.isRequired }) else { return columns.map(\.name) }
    struct Found: Error { let names: [String] }
    do {
      try forEachRow(of: url, columns: columns) { row in
        throw Found(names: columns.map(\.name).filter { row.optionalText($0) != nil })
      }
    } catch let found as Found { return found.names }
    return []
  }

  private static func table<Reader: TableReader>(
    of url: URL, columns: [DataColumn], reader: Reader.Type, _ body: (DataRow) throws -> Void
  ) throws {
    let data = try DataFolder.bytes(of: url)
    var places: [Int?] = []
    var names: [String] = []
    var rowCount = 0
    try data.withUnsafeBytes { bytes in
      var reader = Reader(bytes: TableBytes(bytes.bindMemory(to: UInt8.self), url: url))
      while let (line, fields) = try reader.next() {
        if names.isEmpty {
          (names, places) = (fields, try header(fields, columns: columns, url: url))
          continue
        }
        guard fields.count == names.count else {
          throw DataError.malformedRow(
            url, line: line,
            reason: "expected \(names.count) columns as in the first line, found \(fields.count)\(Reader.raggedHint)")
        }
        try body(row(fields, line: line, columns: columns, places: places, url: url))
        rowCount += 1
        if rowCount % 500 == 0 { PhaseBoard.tick() }
      }
    }
    if rowCount == 0 { throw DataError.noExamples(url) }
  }

  /// Where in a row each column is; nil for one that is absent and may be.
  private static func header(_ names: [String], columns: [DataColumn], url: URL) throws -> [Int?] {
    try columns.map { column in
      let places = names.indices.filter { names[$0] == column.name }
      if places.count > 1 {
        throw DataError.malformedRow(
          url, line: 1,
          reason: "the first line names column \"\(column.name)\" \(places.count) times; keep one of them")
      }
      if places.isEmpty, column.isRequired {
        throw DataError.missingHeader(url, column: column.name, found: names)
      }
      return places.first
    }
  }

  private static func row(
    _ fields: [String], line: Int, columns: [DataColumn], places: [Int?], url: URL
  ) throws -> DataRow {
    var values: [String: DataRow.Value] = [:]
    for (column, place) in zip(columns, places) {
      guard let place else { continue }
      let field = fields[place]
      switch column.kind {
      case .text, .word: values[column.name] = .text(field)
      case .number:
        // White space around a number is none of it; what is not decimal is no number.
        let text = field.trimmed
        guard text.allSatisfy({ "+-.0123456789eE".contains($0) }), let number = Double(text), number.isFinite else {
          throw DataError.wrongType(
            url, line: line, column: column.name, expected: column.expected, found: "'\(field.prefix(40))'")
        }
        values[column.name] = .number(number)
      case .texts:
        throw DataError.wrongType(
          url, line: line, column: column.name,
          expected: "\(column.expected): only JSON has lists; give the data as JSONL")
      }
    }
    return DataRow(line: line, values: values)
  }
}
