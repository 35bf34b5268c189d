/// A parser of JSON (RFC 8259, and `NaN`, `Infinity`, `-Infinity` as Python writes them) over UTF-8 that is known to be valid.
struct ByteJSONParser {
  /// What is wrong, and where.
  struct Malformed: Error {
    let position: Int
    let reason: String
  }

  /// Deeper values are refused: they are no tokenizer's, and would exhaust the stack.
  private static let deepest = 64

  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The one value that `bytes` are.
  mutating func document() throws -> ByteJSON {
    let value = try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw malformed("expected the end of the file") }
    return value
  }

  private mutating func value(depth: Int) throws -> ByteJSON {
    guard depth < Self.deepest else { throw malformed("values are nested deeper than \(Self.deepest) levels") }
    skipSpace()
    switch peek {
    case UInt8(ascii: "{"): return .object(try members(depth: depth))
    case UInt8(ascii: "["): return .array(try elements(depth: depth))
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "N"): return try word("NaN", .double(.nan))
    case UInt8(ascii: "I"): return try word("Infinity", .double(.infinity))
    case UInt8(ascii: "-") where bytes[position...].starts(with: "-I".utf8):
      return try word("-Infinity", .double(-.infinity))
    case nil: throw malformed("expected a value, found the end of the file")
    default: return try number()
    }
  }

  private mutating func members(depth: Int) throws -> [ByteJSON.Member] {
    position += 1
    var members: [ByteJSON.Member] = []
    if skip(UInt8(ascii: "}")) { return members }
    repeat {
      skipSpace()
      guard peek == UInt8(ascii: "\"") else { throw malformed("expected a key") }
      let key = try string()
      guard skip(UInt8(ascii: ":")) else { throw malformed("expected a colon") }
      members.append(ByteJSON.Member(key: key, value: try value(depth: depth + 1)))
    } while skip(UInt8(ascii: ","))
    guard skip(UInt8(ascii: "}")) else { throw malformed("expected a comma or the end of an object") }
    return members
  }

  private mutating func elements(depth: Int) throws -> [ByteJSON] {
    position += 1
    var elements: [ByteJSON] = []
    if skip(UInt8(ascii: "]")) { return elements }
    repeat { elements.append(try value(depth: depth + 1)) } while skip(UInt8(ascii: ","))
    guard skip(UInt8(ascii: "]")) else { throw malformed("expected a comma or the end of an array") }
    return elements
  }

  private mutating func word(_ text: String, _ value: ByteJSON) throws -> ByteJSON {
    guard bytes[position...].starts(with: text.utf8) else { throw malformed("expected \(text)") }
    position += text.utf8.count
    return value
  }

  private mutating func number() throws -> ByteJSON {
    let start = position
    while let byte = peek, "+-.0123456789Ee".utf8.contains(byte) { position += 1 }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if let value = Int(text), !text.hasPrefix("+") { return .integer(value) }
    guard let value = Double(text) else {
      position = start
      throw malformed("expected a value")
    }
    return .double(value)
  }

  private mutating func string() throws -> [UInt8] {
    position += 1
    var text: [UInt8] = []
    while let byte = peek {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return text
      case UInt8(ascii: "\\"): try escape(into: &text)
      case ..<0x20: throw malformed("a string has a control character")
      default: text.append(byte)
      }
    }
    throw malformed("a string does not end")
  }

  private mutating func escape(into text: inout [UInt8]) throws {
    let byte = peek
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte ?? 0)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"): text += Array(String(try escapedScalar()).utf8)
    default: throw malformed("an unknown escape")
    }
  }

  private mutating func escapedScalar() throws -> Unicode.Scalar {
    var code = try hexadecimal()
    if (0xD800..<0xDC00).contains(code), bytes[position...].starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "u")]) {
      position += 2
      let low = try hexadecimal()
      guard (0xDC00..<0xE000).contains(low) else { throw malformed("half of a surrogate pair") }
      code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(code) else { throw malformed("half of a surrogate pair") }
    return scalar
  }

  private mutating func hexadecimal() throws -> UInt32 {
    let digits = bytes[position...].prefix(4)
    guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw malformed("expected four hexadecimal digits") }
    position += 4
    return code
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  /// Skips white space, and `byte` if it is next.
  private mutating func skip(_ byte: UInt8) -> Bool {
    skipSpace()
    guard peek == byte else { return false }
    position += 1
    return true
  }

  private func malformed(_ reason: String) -> Malformed { Malformed(position: position, reason: reason) }
}
