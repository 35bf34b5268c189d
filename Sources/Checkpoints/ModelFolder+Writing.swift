import Foundation
import TensorCore

extension ModelFolder {
  /// What a model folder holds beside its weights; of it, what is there is copied.
  private static let companions = [
    "config.json", "generation_config.json", "spiece.model", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt",
  ]

  /// Writes a model of the same architecture as the one in `base`: its other files and these weights, in fp32.
  ///
  /// - Parameter changes: members of `config.json` that are not those of `base`.
  /// - Returns: size and SHA-256 of `model.safetensors`.
  /// - Throws: `CheckpointError` naming the file.
  @discardableResult
  public static func write(
    tensors: [String: Tensor], like base: URL, changes: [String: JSON] = [:], to target: URL
  ) throws -> FileDigest {
    try makeFolder(target)
    for name in companions {
      let source = base.appendingPathComponent(name)
      guard FileManager.default.fileExists(atPath: source.path) else { continue }
      try AtomicFile.write(Data(contentsOf: source), to: target.appendingPathComponent(name))
    }
    if !changes.isEmpty {
      let config = target.appendingPathComponent("config.json")
      var members = try JSONObject(file: config).members.merging(changes) { $1 }
      members["num_labels"] = nil
      try AtomicFile.write(JSON.object(members), to: config)
    }
    return try SafetensorsWriter.write(
      tensors: tensors.map { ($0.key, $0.value) }, to: target.appendingPathComponent(weightsName))
  }
}
