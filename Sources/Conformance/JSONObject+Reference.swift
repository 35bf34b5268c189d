import Checkpoints
import Foundation

extension JSONObject {
  func doubles(_ key: String) throws -> [Double] {
    try array(key).map { element in
      switch element {
      case .double(let value): return value
      case .integer(let value): return Double(value)
      default: throw error(key, expected: "an array of numbers")
      }
    }
  }

  func optionalDoubles(_ key: String) throws -> [Double]? { self[key] == nil ? nil : try doubles(key) }

  func objects(_ key: String) throws -> [JSONObject] {
    try array(key).enumerated().map { try Self.element($1, "\(key)[\($0)]", origin: origin) }
  }

  /// The objects of a file that is an array of them.
  static func list(file url: URL) throws -> [JSONObject] {
    guard case .array(let elements) = try JSON.decode(file: url) else {
      throw ConformanceError.badInputs(file: url.path, reason: "expected an array of objects")
    }
    return try elements.enumerated().map { try element($1, "[\($0)]", origin: url.path) }
  }

  private static func element(_ json: JSON, _ place: String, origin: String) throws -> JSONObject {
    guard case .object(let members) = json else {
      throw ConformanceError.badInputs(
        file: origin, reason: "\(place): expected an object, found \(json.summary)")
    }
    return JSONObject(members, origin: "\(origin), \(place)")
  }

  /// The lists of integers under `key`.
  func integerLists(_ key: String) throws -> [[Int]] {
    try array(key).map { list in
      guard case .array(let elements) = list else { throw error(key, expected: "lists of integers") }
      return try elements.map { element in
        guard case .integer(let value) = element else { throw error(key, expected: "lists of integers") }
        return value
      }
    }
  }
}
