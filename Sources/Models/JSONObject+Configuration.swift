import CKernels
import Checkpoints

/// What the configurations of several families say in the same way.
extension JSONObject {
  /// One id or a list of them, each of the vocabulary; of generation_config.json if that has the key.
  func tokens(_ key: String, generation: JSONObject?, default missing: Int32, _ vocabularySize: Int) throws -> [Int32] {
    let source = generation?[key] == nil ? self : generation ?? self
    let ids: [Int]
    switch source[key] {
    case nil: return [missing]
    case .array: ids = try source.ints(key)
    default: ids = [try source.int(key)]
    }
    guard !ids.isEmpty, ids.allSatisfy((0..<vocabularySize).contains) else {
      throw source.error(key, expected: "ids below the vocabulary size \(vocabularySize)")
    }
    return ids.map(Int32.init)
  }

  /// A dropout rate.
  func rate(_ key: String, default missing: Double) throws -> Double {
    let rate = try optionalDouble(key) ?? missing
    guard (0..<1).contains(rate) else { throw error(key, expected: "a rate from 0 to below 1") }
    return rate
  }

  /// An activation by HF's name.
  func activation(_ key: String, default missing: String) throws -> activation_kind {
    let kinds = [
      "relu": ACTIVATION_RELU, "gelu": ACTIVATION_GELU, "gelu_new": ACTIVATION_GELU_NEW, "silu": ACTIVATION_SILU,
      "swish": ACTIVATION_SILU, "tanh": ACTIVATION_TANH,
    ]
    guard let kind = kinds[try optionalString(key) ?? missing] else {
      throw error(key, expected: "one of \(kinds.keys.sorted().joined(separator: ", "))")
    }
    return kind
  }
}
