import Foundation

/// The object in a JSON file, read key by key; a lookup that fails names file, key, expected and found.
///
/// A key whose value is `null` counts as absent, as in Hugging Face configurations.
public struct JSONObject: Sendable, Equatable {
  /// The file, for messages.
  public let origin: String
  /// Keys that lead from the document to this object, each followed by a dot.
  private let prefix: String
  private let content: JSONMembers

  public init(_ members: [String: JSON], origin: String) {
    self.init(JSONMembers(members), origin: origin, prefix: "")
  }

  public init(_ members: JSONMembers, origin: String) {
    self.init(members, origin: origin, prefix: "")
  }

  private init(_ members: JSONMembers, origin: String, prefix: String) {
    content = members
    self.origin = origin
    self.prefix = prefix
  }

  /// - Throws: `CheckpointError`: unreadable, not JSON, not an object.
  public init(file url: URL) throws {
    let document = try JSON.decode(file: url)
    guard case .object(let members) = document else {
      throw CheckpointError.wrongKind(
        path: url.path, expected: "a JSON object", found: document.summary)
    }
    self.init(members, origin: url.path)
  }

  public var json: JSON { .object(content) }
  public var members: [String: JSON] { content.dictionary }
  /// In the order of the file.
  public var keys: [String] { content.keys }

  /// The value, nil if absent or null.
  public subscript(_ key: String) -> JSON? {
    guard let value = content[key], value != .null else { return nil }
    return value
  }

  /// The error for a value of `key` that does not serve; for checks beyond the kind of value.
  public func error(_ key: String, expected: String) -> CheckpointError {
    let found = content[key]?.summary ?? "nothing"
    return .badValue(path: origin, key: prefix + key, expected: expected, found: found)
  }

  private func required<Value>(_ value: Value?, _ key: String, _ expected: String) throws -> Value {
    guard let value else { throw error(key, expected: expected) }
    return value
  }
}

// MARK: Optional lookups: nil if absent or null, an error if of another kind.

extension JSONObject {
  public func optionalInt(_ key: String) throws -> Int? {
    guard let value = self[key] else { return nil }
    guard case .integer(let result) = value else { throw error(key, expected: "an integer") }
    return result
  }

  /// An integer counts as a double.
  public func optionalDouble(_ key: String) throws -> Double? {
    switch self[key] {
    case nil: return nil
    case .double(let value): return value
    case .integer(let value): return Double(value)
    default: throw error(key, expected: "a number")
    }
  }

  public func optionalBool(_ key: String) throws -> Bool? {
    guard let value = self[key] else { return nil }
    guard case .bool(let result) = value else { throw error(key, expected: "true or false") }
    return result
  }

  public func optionalString(_ key: String) throws -> String? {
    guard let value = self[key] else { return nil }
    guard case .string(let result) = value else { throw error(key, expected: "a string") }
    return result
  }

  public func optionalArray(_ key: String) throws -> [JSON]? {
    guard let value = self[key] else { return nil }
    guard case .array(let result) = value else { throw error(key, expected: "an array") }
    return result
  }

  public func optionalStrings(_ key: String) throws -> [String]? {
    try optionalArray(key)?.map { element in
      guard case .string(let result) = element else { throw error(key, expected: "an array of strings") }
      return result
    }
  }

  public func optionalInts(_ key: String) throws -> [Int]? {
    try optionalArray(key)?.map { element in
      guard case .integer(let result) = element else { throw error(key, expected: "an array of integers") }
      return result
    }
  }

  public func optionalObject(_ key: String) throws -> JSONObject? {
    guard let value = self[key] else { return nil }
    guard case .object(let result) = value else { throw error(key, expected: "an object") }
    return JSONObject(result, origin: origin, prefix: prefix + key + ".")
  }
}

// MARK: Required lookups: an error if absent, null, or of another kind.

extension JSONObject {
  public func int(_ key: String) throws -> Int { try required(optionalInt(key), key, "an integer") }

  /// An integer from `range`, for instance `1...` for a count.
  public func int(_ key: String, in range: ClosedRange<Int>) throws -> Int {
    let value = try int(key)
    guard range.contains(value) else {
      throw error(key, expected: "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// The size of one dimension of a model: 1 to 2^22, so that the product of two cannot overflow.
  public func dimension(_ key: String) throws -> Int { try int(key, in: 1...(1 << 22)) }

  public func double(_ key: String) throws -> Double { try required(optionalDouble(key), key, "a number") }
  public func bool(_ key: String) throws -> Bool { try required(optionalBool(key), key, "true or false") }
  public func string(_ key: String) throws -> String { try required(optionalString(key), key, "a string") }
  public func array(_ key: String) throws -> [JSON] { try required(optionalArray(key), key, "an array") }
  public func object(_ key: String) throws -> JSONObject {
    try required(optionalObject(key), key, "an object")
  }

  public func strings(_ key: String) throws -> [String] {
    try required(optionalStrings(key), key, "an array of strings")
  }

  public func ints(_ key: String) throws -> [Int] {
    try required(optionalInts(key), key, "an array of integers")
  }
}
