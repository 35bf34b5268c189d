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

  /// A size of the model; HF's default where the file has no such key. `null` is no size.
  func dimension(_ key: String, default missing: Int) throws -> Int {
    members[key] == nil ? missing : try dimension(key)
  }

  /// The same with the names that HF's classes read as well (`attribute_map`): each stands for its key where that is absent.
  func reading(_ names: [String: String]) -> JSONObject {
    var members = members
    for (name, key) in names where members[key] == nil { members[key] = members[name] }
    return JSONObject(members, origin: origin)
  }

  /// A dropout rate.
  func rate(_ key: String, default missing: Double) throws -> Double {
    let rate = try optionalDouble(key) ?? missing
    guard (0..<1).contains(rate) else { throw error(key, expected: "a rate from 0 to below 1") }
    return rate
  }

  /// What a norm adds to a variance before it takes the root.
  func epsilon(_ key: String, default missing: Double) throws -> Float {
    let epsilon = try optionalDouble(key) ?? missing
    guard (0...1).contains(epsilon) else { throw error(key, expected: "a number from 0 to 1") }
    return Float(epsilon)
  }

  /// An activation by HF's name.
  func activation(_ key: String, default missing: String) throws -> activation_kind {
    guard let kind = Self.activations[try optionalString(key) ?? missing] else {
      throw error(key, expected: "one of \(Self.activationNames)")
    }
    return kind
  }

  /// By HF's names (`activations.py`, `ACT2CLS`); those of one function in several forms are one here.
  static let activations = [
    "relu": ACTIVATION_RELU, "gelu": ACTIVATION_GELU, "gelu_python": ACTIVATION_GELU, "gelu_new": ACTIVATION_GELU_NEW,
    "gelu_fast": ACTIVATION_GELU_NEW, "gelu_pytorch_tanh": ACTIVATION_GELU_NEW,
    "gelu_python_tanh": ACTIVATION_GELU_NEW, "silu": ACTIVATION_SILU, "swish": ACTIVATION_SILU, "tanh": ACTIVATION_TANH,
  ]

  static var activationNames: String { activations.keys.sorted().joined(separator: ", ") }
}
