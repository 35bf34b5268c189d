import Foundation

/// Reads the rows of a table, the first one included.
///
/// A strict reader of its own: the package SwiftCSV (0.10) names no line in its errors, fills ragged rows up with empty
/// texts and knows quotes in TSV, which GLUE's files do not have.
protocol TableReader {
  /// What may be behind a row with the wrong number of columns, as the end of a sentence.
  static var raggedHint: String { get }
  init(bytes: TableBytes)
  /// The next row and the line where it begins, from 1; nil at the end of the file.
  mutating func next() throws -> (line: Int, fields: [String])?
}

/// The bytes of a table, or of a text file, from the place that is read next.
///
/// A byte order mark in front is passed over; `\r\n` ends a line as `\n` does. Empty lines of a table are allowed at the end only.
struct TableBytes {
  let url: URL
  private let bytes: UnsafeBufferPointer<UInt8>
  private(set) var position = 0
  private(set) var line = 1

  init(_ bytes: UnsafeBufferPointer<UInt8>, url: URL) {
    self.bytes = bytes
    self.url = url
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
  }

  static let lineFeed = UInt8(ascii: "\n")
  static let carriageReturn = UInt8(ascii: "\r")

  var isAtEnd: Bool { position >= bytes.count }

  /// The next byte, nil at the end.
  var current: UInt8? { isAtEnd ? nil : bytes[position] }

  /// Whether a line ends here, the end of the file included.
  var isAtEndOfLine: Bool {
    guard let current else { return true }
    return current == Self.lineFeed
      || (current == Self.carriageReturn && position + 1 < bytes.count && bytes[position + 1] == Self.lineFeed)
  }

  /// Moves on by one byte.
  mutating func advance() {
    if bytes[position] == Self.lineFeed { line += 1 }
    position += 1
  }

  /// Moves behind the end of the line that is here.
  mutating func passEndOfLine() {
    if current == Self.carriageReturn { advance() }
    if !isAtEnd { advance() }
  }

  /// Passes over empty lines, which must be the last ones.
  mutating func passEmptyLines() throws {
    let first = line
    var count = 0
    while !isAtEnd, isAtEndOfLine {
      passEndOfLine()
      count += 1
    }
    if count > 0, !isAtEnd {
      throw DataError.malformedRow(url, line: first, reason: "expected a row, found an empty line; remove it")
    }
  }

  /// The text of a range of bytes.
  func text(_ range: Range<Int>, line: Int) throws -> String {
    try text(of: bytes[range], line: line)
  }

  func text(of bytes: some Sequence<UInt8>, line: Int) throws -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw DataError.invalidUTF8(url, line: line) }
    return text
  }
}

/// Tabs between columns and nothing else: no quotes, so no tab and no line break within a field.
struct TabReader: TableReader {
  static let raggedHint = "; a tab or a line break within a text cannot be written as TSV"
  private var bytes: TableBytes

  init(bytes: TableBytes) { self.bytes = bytes }

  mutating func next() throws -> (line: Int, fields: [String])? {
    try bytes.passEmptyLines()
    guard !bytes.isAtEnd else { return nil }
    let line = bytes.line
    var fields: [String] = []
    var start = bytes.position
    while !bytes.isAtEndOfLine {
      if bytes.current == UInt8(ascii: "\t") {
        fields.append(try bytes.text(start..<bytes.position, line: line))
        start = bytes.position + 1
      }
      bytes.advance()
    }
    fields.append(try bytes.text(start..<bytes.position, line: line))
    bytes.passEndOfLine()
    return (line, fields)
  }
}

/// Commas between columns; a field in quotes may hold commas, line breaks, and quotes written twice (RFC 4180).
struct CommaReader: TableReader {
  static let raggedHint = "; a text that holds a comma or a line break must be in quotes"
  private static let quote = UInt8(ascii: "\"")
  private static let comma = UInt8(ascii: ",")
  private var bytes: TableBytes

  init(bytes: TableBytes) { self.bytes = bytes }

  mutating func next() throws -> (line: Int, fields: [String])? {
    try bytes.passEmptyLines()
    guard !bytes.isAtEnd else { return nil }
    let line = bytes.line
    var fields: [String] = []
    while true {
      fields.append(try bytes.current == Self.quote ? quoted() : plain())
      if bytes.isAtEndOfLine { break }
      bytes.advance()
    }
    bytes.passEndOfLine()
    return (line, fields)
  }

  /// A field without quotes; stops at the comma or the end of the line.
  private mutating func plain() throws -> String {
    let start = bytes.position
    while !bytes.isAtEndOfLine, bytes.current != Self.comma {
      if bytes.current == Self.quote {
        throw DataError.malformedRow(
          bytes.url, line: bytes.line,
          reason: "expected a comma or the end of the line, found a quote within a text that does not begin with one; "
            + "put the whole text in quotes and write its own ones twice")
      }
      bytes.advance()
    }
    return try bytes.text(start..<bytes.position, line: bytes.line)
  }

  /// A field in quotes; stops behind them.
  private mutating func quoted() throws -> String {
    let line = bytes.line
    var content: [UInt8] = []
    bytes.advance()
    while let byte = bytes.current {
      bytes.advance()
      guard byte == Self.quote else {
        content.append(byte)
        continue
      }
      if bytes.current == Self.quote {
        content.append(byte)
        bytes.advance()
      } else if bytes.isAtEndOfLine || bytes.current == Self.comma {
        return try bytes.text(of: content, line: line)
      } else {
        throw DataError.malformedRow(
          bytes.url, line: bytes.line,
          reason: "expected a comma or the end of the line behind a closing quote, found another character; "
            + "a quote within a text is written twice")
      }
    }
    throw DataError.malformedRow(
      bytes.url, line: line,
      reason: "expected a closing quote, found the end of the file; the text begins in this line")
  }
}
