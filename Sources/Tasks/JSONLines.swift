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
    let decoder = JSONDecoder()
    decoder.userInfo[JSONRow.columnsKey] = columns
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
      try body(DataRow(line: line, values: values(text, decoder, columns: columns, url: url, line: line)))
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
    _ text: Data, _ decoder: JSONDecoder, columns: [DataColumn], url: URL, line: Int
  ) throws -> [String: DataRow.Value] {
    guard text.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) != nil else {
      throw DataError.invalidUTF8(url, line: line)
    }
    do { return try decoder.decode(JSONRow.self, from: text).values } catch let error as DecodingError {
      switch error {
      case .keyNotFound(let key, _):
        throw DataError.missingColumn(url, line: line, column: key.stringValue)
      case .typeMismatch(_, let context), .valueNotFound(_, let context):
        guard let name = context.codingPath.first?.stringValue,
          let column = columns.first(where: { $0.name == name })
        else { throw DataError.malformedLine(url, line: line, reason: "another JSON value") }
        throw DataError.wrongType(url, line: line, column: name, expected: column.expected)
      case .dataCorrupted:
        let start = String(decoding: text.prefix(60), as: UTF8.self)
        throw DataError.malformedLine(
          url, line: line, reason: "malformed JSON: \(start)\(text.count > 60 ? "…" : "")")
      @unknown default:
        throw DataError.malformedLine(url, line: line, reason: "\(error)")
      }
    } catch {
      throw DataError.malformedLine(url, line: line, reason: DataFolder.reason(error))
    }
  }
}

/// The wanted columns of a JSON object; the others are not looked at.
private struct JSONRow: Decodable {
  let values: [String: DataRow.Value]

  /// Where the decoder has the columns, `[DataColumn]`.
  static let columnsKey: CodingUserInfoKey = {
    guard let key = CodingUserInfoKey(rawValue: "columns") else { preconditionFailure("a key is any text") }
    return key
  }()

  private struct Name: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  init(from decoder: any Decoder) throws {
    guard let columns = decoder.userInfo[Self.columnsKey] as? [DataColumn] else {
      preconditionFailure("rows are decoded with columns")
    }
    let object = try decoder.container(keyedBy: Name.self)
    var values: [String: DataRow.Value] = [:]
    for column in columns {
      let name = Name(stringValue: column.name)
      if !column.isRequired, try !object.contains(name) || object.decodeNil(forKey: name) { continue }
      switch column.kind {
      case .text: values[column.name] = .text(try object.decode(String.self, forKey: name))
      case .word:
        if let number = try? object.decode(Int.self, forKey: name) {
          values[column.name] = .text(String(number))
        } else {
          values[column.name] = .text(try object.decode(String.self, forKey: name))
        }
      case .number: values[column.name] = .number(try object.decode(Double.self, forKey: name))
      case .texts: values[column.name] = .texts(try object.decode([String].self, forKey: name))
      }
    }
    self.values = values
  }
}
