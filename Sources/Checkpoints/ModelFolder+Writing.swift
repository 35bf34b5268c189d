import Diagnostics
import Foundation
import TensorCore

extension ModelFolder {
  /// What a model folder holds beside its weights; of it, what is there is copied.
  private static let companions = [
    "config.json", "generation_config.json", "spiece.model", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt",
  ]

  /// Writes a model of the same architecture as the one in `base`: its other files and these weights, whose type `config.json`
  /// then names, as transformers loads them in that.
  ///
  /// - Parameter changes: members of `config.json` that are not those of `base`.
  /// - Returns: size and SHA-256 of `model.safetensors`.
  /// - Throws: `CheckpointError` naming the file.
  @discardableResult
  public static func write(
    tensors: [String: Tensor], like base: URL, changes: [String: JSON] = [:], as type: SafetensorsType = .f32,
    to target: URL
  ) throws -> FileDigest {
    try makeFolder(target)
    for name in companions {
      let source = base.appendingPathComponent(name)
      guard try isPresent(source) else { continue }
      try AtomicFile.write(copyOf(source), to: target.appendingPathComponent(name))
    }
    let config = target.appendingPathComponent("config.json")
    var members = try JSONObject(file: config).members.merging(changes) { $1 }
    if changes["id2label"] != nil { members["num_labels"] = nil }
    members["torch_dtype"] = nil
    members["dtype"] = type.dtype
    try AtomicFile.write(JSON.object(members), to: config)
    return try SafetensorsWriter.write(
      tensors: tensors.map { ($0.key, $0.value) }, as: type, to: target.appendingPathComponent(weightsName))
  }

  /// Writes a model from nothing: configuration, defaults of generation if it generates, and weights as F32 or BF16.
  ///
  /// - Returns: size and SHA-256 of `model.safetensors`.
  /// - Throws: `CheckpointError` naming the file.
  @discardableResult
  public static func write(
    config: JSON, generation: JSON?, tensors: [(String, Tensor)], as type: SafetensorsType = .f32, to target: URL
  ) throws -> FileDigest {
    try makeFolder(target)
    let digest = try SafetensorsWriter.write(
      tensors: tensors, as: type, to: target.appendingPathComponent(weightsName))
    if let generation {
      try AtomicFile.write(generation, to: target.appendingPathComponent("generation_config.json"))
    }
    try AtomicFile.write(config, to: target.appendingPathComponent("config.json"))
    return digest
  }

  /// Writes a vocabulary and the JSON files beside it.
  ///
  /// - Returns: size and SHA-256 of the vocabulary's file.
  /// - Throws: `CheckpointError` naming the file.
  @discardableResult
  public static func write(
    tokenizer model: [UInt8], named name: String, companions: [String: JSON], to target: URL
  ) throws -> FileDigest {
    try makeFolder(target)
    for (name, json) in companions { try AtomicFile.write(json, to: target.appendingPathComponent(name)) }
    return try AtomicFile.write(model, to: target.appendingPathComponent(name))
  }

  /// Copies the tokenizer of the model in `base` to another model.
  ///
  /// - Throws: `CheckpointError.missing` if there is none.
  public static func copyTokenizer(of base: URL, to target: URL) throws {
    let names = try tokenizerFiles.filter { try isPresent(base.appendingPathComponent($0)) }
    guard !names.isEmpty else {
      throw CheckpointError.missing(
        path: base.path, purpose: "it was to hold a tokenizer",
        remedy: "give a folder with one of \(tokenizerFiles.joined(separator: ", "))")
    }
    for name in names {
      try AtomicFile.write(copyOf(base.appendingPathComponent(name)), to: target.appendingPathComponent(name))
    }
  }

  /// - Throws: `CheckpointError.unreadable`.
  private static func copyOf(_ file: URL) throws -> Data {
    do { return try FileContents.read(file.path) } catch {
      throw CheckpointError.unreadable(path: file.path, reason: "\(error)")
    }
  }

  private static let tokenizerFiles = [
    "spiece.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt",
    "vocab.txt",
  ]
}

extension SafetensorsType {
  /// As `config.json` names the type of the weights.
  public var dtype: JSON { self == .bf16 ? "bfloat16" : "float32" }
}
