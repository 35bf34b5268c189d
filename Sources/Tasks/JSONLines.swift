import Diagnostics
import Foundation

/// Reads files of one JSON object per line.
enum JSONLines {
  /// Decodes every line as `Row` and hands it to `body` with its line number, from 1.
  ///
  /// Empty lines are allowed at the end of the file only.
  /// - Throws: `DataError`, naming file and line.
  static func forEachRow<Row: Decodable>(
    of url: URL, as type: Row.Type, _ body: (_ row: Row, _ line: Int) throws -> Void
  ) throws {
    guard DataFolder.exists(url) else { throw DataError.missing(url, expected: "the file does not exist") }
    let data: Data
    do { data = try Data(contentsOf: url, options: .mappedIfSafe) } catch {
      throw DataError.unreadable(url, reason: reason(error))
    }
    let decoder = JSONDecoder()
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
      try body(row(text, decoder, url: url, line: line), line)
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

  private static func row<Row: Decodable>(_ text: Data, _ decoder: JSONDecoder, url: URL, line: Int) throws
    -> Row
  {
    guard text.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) != nil else {
      throw DataError.invalidUTF8(url, line: line)
    }
    do { return try decoder.decode(Row.self, from: text) } catch let error as DecodingError {
      switch error {
      case .keyNotFound(let key, _):
        throw DataError.missingColumn(url, line: line, column: key.stringValue)
      case .typeMismatch(_, let context), .valueNotFound(_, let context):
        guard let column = context.codingPath.first?.stringValue else {
          throw DataError.malformedLine(url, line: line, reason: "another JSON value")
        }
        throw DataError.wrongType(
          url, line: line, column: column,
          expected: (Row.self as? any DescribedRow.Type)?.expected(column) ?? "text")
      case .dataCorrupted:
        let start = String(decoding: text.prefix(60), as: UTF8.self)
        throw DataError.malformedLine(
          url, line: line, reason: "malformed JSON: \(start)\(text.count > 60 ? "…" : "")")
      @unknown default:
        throw DataError.malformedLine(url, line: line, reason: "\(error)")
      }
    } catch {
      throw DataError.malformedLine(url, line: line, reason: reason(error))
    }
  }

  /// The short text of a Foundation error.
  static func reason(_ error: any Error) -> String {
    let cause = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
    return (cause ?? error as NSError).localizedDescription
  }
}

/// A row that can say what its columns should hold.
protocol DescribedRow {
  static func expected(_ column: String) -> String
}
