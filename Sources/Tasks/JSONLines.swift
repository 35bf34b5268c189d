import Checkpoints
import Diagnostics
import Foundation

/// Reads files of one JSON object per line.
enum JSONLines {
  /// Reads every line and hands it to `body`.
  ///
  /// Empty lines are allowed at the end of the file only.
  /// - Throws: `DataError`, naming file and line.
  static func forEachRow(
    of url: URL, columns: [DataColumn], _ body: (_ row: DataRow) throws -> Void
  ) throws {
    let data = try DataFolder.bytes(of: url)
    var line = 0
    var blankLine: Int?
    var position = data.startIndex
    while position < data.endIndex {
      let end = endOfLine(in: data, from: position)
      line += 1
      let text = data[position..<end]
      position = end < data.endIndex ? end + 1 : end
      if text.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) {
        blankLine = blankLine ?? line
        continue
      }
      if let blankLine { throw DataError.malformedLine(url, line: blankLine, reason: "an empty line") }
      try body(DataRow(line: line, values: values(text, columns: columns, url: url, line: line)))
      if line % 500 == 0 { PhaseBoard.tick() }
    }
    if line == 0 || blankLine == 1 { throw DataError.noExamples(url) }
  }

  /// Index of the next line feed, or the end. By `memchr`: element by element, Data checks each access.
  private static func endOfLine(in data: Data, from position: Int) -> Int {
    data.withUnsafeBytes { bytes in
      let offset = position - data.startIndex
      guard let start = bytes.baseAddress, let found = memchr(start + offset, 0x0A, bytes.count - offset) else {
        return data.endIndex
      }
      return data.startIndex + (UnsafeRawPointer(found) - start)
    }
  }

  private static func values(
    _ text: Data, columns: [DataColumn], url: URL, line: Int
  ) throws -> [String: DataRow.Value] {
    guard text.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) != nil else {
      throw DataError.invalidUTF8(url, line: line)
    }
    let document: JSON
    do {
      document = try JSON.decode(text, origin: url.path, repeatedKeys: .lastCounts)
    } catch CheckpointError
      .malformedJSON(_, _, let column, let reason)
    {
      let start = String(decoding: text.prefix(60), as: UTF8.self)
      throw DataError.malformedLine(
        url, line: line,
        reason: "malformed JSON: \(start)\(text.count > 60 ? "…" : "") (column \(column): \(reason))")
    }
    guard case .object(let members) = document else {
      throw DataError.malformedLine(url, line: line, reason: "another JSON value")
    }
    var values: [String: DataRow.Value] = [:]
    for column in columns {
      let found = members[column.name]
      if !column.isRequired, found == nil || found == .null { continue }
      guard let found else { throw DataError.missingColumn(url, line: line, column: column.name) }
      guard let value = column.value(found) else {
        throw DataError.wrongType(
          url, line: line, column: column.name, expected: column.expected, found: shown(found))
      }
      values[column.name] = value
    }
    return values
  }

  /// The beginning of a value, for a message.
  private static func shown(_ value: JSON) -> String {
    let text = value.encoded(.compact)
    return text.count > 40 ? "\(text.prefix(40))…" : text
  }
}

extension DataColumn {
  /// What a row has in this column; nil for a value of another kind.
  fileprivate func value(_ json: JSON) -> DataRow.Value? {
    switch (kind, json) {
    case (.text, .string(let text)), (.word, .string(let text)): .text(text)
    case (.word, .integer(let number)): .text(String(number))
    // As pandas writes whole numbers of a column with gaps.
    case (.word, .double(let number)): Int(exactly: number).map { .text(String($0)) }
    case (.number, .integer(let number)): .number(Double(number))
    case (.number, .double(let number)) where number.isFinite: .number(number)
    case (.texts, .array(let elements)): texts(elements).map { .texts($0) }
    default: nil
    }
  }

  private func texts(_ elements: [JSON]) -> [String]? {
    var texts: [String] = []
    for element in elements {
      guard case .string(let text) = element else { return nil }
      texts.append(text)
    }
    return texts
  }
}
