import Diagnostics
import Foundation

extension JSON {
  /// Reads one JSON document (RFC 8259, and `NaN`, `Infinity`, `-Infinity` as Python writes them).
  ///
  /// A number without fraction and exponent that fits 64 bits becomes `.integer`, any other one `.double`.
  /// - Parameter origin: the file, for the error message.
  /// - Throws: `CheckpointError.malformedJSON` with line and column: bad UTF-8, bad syntax, a key twice in
  ///   one object unless `repeatedKeys` allows that, text after the document, more than 128 levels.
  public static func decode(
    _ bytes: some Collection<UInt8>, origin: String, repeatedKeys: RepeatedKeys = .areRefused
  ) throws -> JSON {
    var parser = JSONParser(bytes: Array(bytes), repeatedKeys: repeatedKeys)
    do {
      return try parser.document()
    } catch let failure as JSONParser.Failure {
      let place = parser.lineAndColumn(of: failure.position)
      throw CheckpointError.malformedJSON(
        path: origin, line: place.line, column: place.column, reason: failure.reason)
    }
  }

  /// What becomes of a key that an object has twice.
  public enum RepeatedKeys: Sendable {
    case areRefused
    /// As in Python.
    case lastCounts
  }

  /// Reads the JSON document in a file of at most 256 MiB.
  /// - Throws: `CheckpointError`: unreadable, too large, not JSON.
  public static func decode(file url: URL) throws -> JSON {
    let file = try MappedFile(url)
    return try file.withBytes { bytes in
      guard bytes.count <= 256 << 20 else {
        throw CheckpointError.wrongKind(
          path: url.path, expected: "a JSON file of at most 256 MiB", found: "\(bytes.count) bytes")
      }
      guard !GitLFSPointer.isPointer(bytes) else {
        throw CheckpointError.wrongKind(path: url.path, expected: "a JSON file", found: GitLFSPointer.reason)
      }
      return try decode(bytes, origin: url.path)
    }
  }
}

/// A recursive descent over the bytes of one document.
private struct JSONParser {
  struct Failure: Error {
    let position: Int
    let reason: String
  }

  static let maximumDepth = 128
  let bytes: [UInt8]
  var position = 0

  let repeatedKeys: JSON.RepeatedKeys

  init(bytes: [UInt8], repeatedKeys: JSON.RepeatedKeys) { (self.bytes, self.repeatedKeys) = (bytes, repeatedKeys) }

  func lineAndColumn(of position: Int) -> (line: Int, column: Int) {
    let before = bytes[..<min(position, bytes.count)]
    let line = before.count { $0 == UInt8(ascii: "\n") } + 1
    let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    return (line, before.count - start + 1)
  }

  mutating func document() throws -> JSON {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw failure("the text is not valid UTF-8")
    }
    let value = try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw failure("text after the end of the document") }
    return value
  }

  private func failure(_ reason: String) -> Failure { Failure(position: position, reason: reason) }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws {
    skipSpace()
    if !take(character) { throw failure("expected '\(character)', found \(describeNext())") }
  }

  private func describeNext() -> String {
    guard let byte = next else { return "the end of the text" }
    return byte > 0x20 && byte < 0x7F ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)"
  }

  private mutating func value(depth: Int) throws -> JSON {
    guard depth < Self.maximumDepth else { throw failure("more than \(Self.maximumDepth) levels") }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    default: break
    }
    for (word, value) in Self.words where bytes[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    return try number()
  }

  private static let words: [(String, JSON)] = [
    ("null", .null), ("true", .bool(true)), ("false", .bool(false)), ("NaN", .double(.nan)),
    ("Infinity", .double(.infinity)), ("-Infinity", .double(-.infinity)),
  ]

  private mutating func object(depth: Int) throws -> JSON {
    var members = JSONMembers.empty
    try expect("{")
    skipSpace()
    if take("}") { return .object(members) }
    repeat {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw failure("expected a key, found \(describeNext())") }
      let start = position
      let key = try string()
      try expect(":")
      let member = try value(depth: depth + 1)
      guard repeatedKeys == .lastCounts || members[key] == nil else {
        throw Failure(position: start, reason: "the key '\(key)' occurs twice")
      }
      members[key] = member
      skipSpace()
    } while take(",")
    try expect("}")
    return .object(members)
  }

  private mutating func array(depth: Int) throws -> JSON {
    var values: [JSON] = []
    try expect("[")
    skipSpace()
    if take("]") { return .array(values) }
    repeat {
      values.append(try value(depth: depth + 1))
      skipSpace()
    } while take(",")
    try expect("]")
    return .array(values)
  }

  private mutating func string() throws -> String {
    try expect("\"")
    var units: [UInt8] = []
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        return String(decoding: units, as: UTF8.self)
      case UInt8(ascii: "\\"):
        position += 1
        units.append(contentsOf: String(try escape()).utf8)
      case 0..<0x20:
        throw failure("control character \(byte) inside a string")
      default:
        units.append(byte)
        position += 1
      }
    }
    throw failure("the string has no end")
  }

  private mutating func escape() throws -> Unicode.Scalar {
    guard let byte = next else { throw failure("the string has no end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{08}"
    case UInt8(ascii: "f"): return "\u{0C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try escapedScalar()
    default:
      position -= 1
      throw failure("unknown escape, found \(describeNext()) after '\\'")
    }
  }

  private mutating func escapedScalar() throws -> Unicode.Scalar {
    let high = try fourDigits()
    if let scalar = Unicode.Scalar(high) { return scalar }
    guard high < 0xDC00, take("\\"), take("u") else { throw failure("half of a surrogate pair") }
    let low = try fourDigits()
    guard (0xDC00..<0xE000).contains(low),
      let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
    else { throw failure("half of a surrogate pair") }
    return scalar
  }

  private mutating func fourDigits() throws -> UInt32 {
    guard position + 4 <= bytes.count else { throw failure("the string has no end") }
    let digits = bytes[position..<position + 4]
    let isHexadecimal = digits.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
    guard isHexadecimal, let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16) else {
      throw failure("expected four hexadecimal digits after '\\u'")
    }
    position += 4
    return value
  }

  private mutating func number() throws -> JSON {
    let start = position
    _ = take("-")
    if !take("0") { try digits("a value") }
    var isInteger = true
    if take(".") {
      isInteger = false
      try digits("a digit after '.'")
    }
    if take("e") || take("E") {
      isInteger = false
      if !take("+") { _ = take("-") }
      try digits("a digit of the exponent")
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text) else { throw Failure(position: start, reason: "'\(text)' is no number") }
    return .double(value)
  }

  private mutating func digits(_ expected: String) throws {
    let start = position
    while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    if position == start { throw failure("expected \(expected), found \(describeNext())") }
  }
}
