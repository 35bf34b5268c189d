import Foundation

/// A JSON value whose strings stay UTF-8 and whose members keep their order.
///
/// Vocabularies are large objects whose keys may differ in code points alone ("é" in one or in two of them). To Swift
/// such strings are equal, so a dictionary of strings would lose pieces.
indirect enum ByteJSON: Equatable {
  case null
  case bool(Bool)
  case integer(Int)
  case double(Double)
  case string([UInt8])
  case array([ByteJSON])
  case object([Member])

  struct Member: Equatable {
    let key: [UInt8]
    let value: ByteJSON
  }

  /// The value of the last member `key` of an object.
  subscript(key: String) -> ByteJSON? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.key.elementsEqual(key.utf8) }?.value
  }

  var bytes: [UInt8]? { if case .string(let bytes) = self { bytes } else { nil } }
  var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
  var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }
  var elements: [ByteJSON]? { if case .array(let elements) = self { elements } else { nil } }
  var members: [Member]? { if case .object(let members) = self { members } else { nil } }

  /// The value as an error message shows it.
  var summary: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .double(let value): "\(value)"
    case .string(let bytes): "\"\(String(decoding: bytes.prefix(60), as: UTF8.self))\""
    case .array(let elements): "an array of \(elements.count)"
    case .object(let members): "an object of \(members.count) members"
    }
  }
}

extension ByteJSON {
  static func text(_ text: String) -> ByteJSON { .string(Array(text.utf8)) }

  /// The object in a file, or nil if there is no such file.
  ///
  /// - Throws: `TokenizationError.unreadable`, `.badConfiguration`.
  static func object(at url: URL) throws -> ByteJSON? {
    guard let bytes = try TokenizerFiles.bytes(at: url) else { return nil }
    var parser = ByteJSONParser(bytes)
    do {
      let value = try parser.document()
      guard case .object = value else {
        throw TokenizationError.badConfiguration(url, reason: "expected a JSON object, found \(value.summary)")
      }
      return value
    } catch let error as ByteJSONParser.Malformed {
      throw TokenizationError.badConfiguration(
        url, reason: "it is not JSON: byte \(error.position): \(error.reason); fetch the file again")
    }
  }
}
