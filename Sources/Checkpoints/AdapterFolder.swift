import Foundation
import TensorCore

/// An adaptation as Hugging Face PEFT stores it: `adapter_config.json` and `adapter_model.safetensors`.
///
/// What the keys and names mean belongs to the methods; this type moves them between disk and memory.
public struct AdapterFolder: Sendable {
  public let url: URL
  public let config: JSONObject
  /// The tensors, copied into memory of their own.
  public let tensors: [String: Tensor]

  private static let configName = "adapter_config.json"
  private static let weightsName = "adapter_model.safetensors"

  /// - Throws: `CheckpointError`: a file missing or broken, the weights in another format than safetensors.
  public static func read(_ url: URL) throws -> AdapterFolder {
    try requireFolder(
      url, purpose: "an adapter folder with \(configName) and \(weightsName) is needed")
    let configURL = url.appendingPathComponent(configName)
    guard FileManager.default.fileExists(atPath: configURL.path) else {
      throw CheckpointError.missing(
        path: configURL.path, purpose: "it describes the adapter",
        remedy: "give the folder of a PEFT adapter; that of a run is its subfolder 'adapter'")
    }
    let config = try JSONObject(file: configURL)
    let weights = url.appendingPathComponent(weightsName)
    if !FileManager.default.fileExists(atPath: weights.path) {
      try ModelFolder.refuseOtherFormats(in: url, suffixes: [".bin", ".pt", ".pth"])
      throw CheckpointError.missing(
        path: weights.path, purpose: "it holds the weights of the adapter",
        remedy: "give the folder of a PEFT adapter in safetensors format")
    }
    let file = try SafetensorsFile(weights)
    let tensors = try file.names.map { ($0, try file.tensor($0).copy()) }
    return AdapterFolder(url: url, config: config, tensors: Dictionary(uniqueKeysWithValues: tensors))
  }

  /// Writes the adapter to `url`, which is made if need be; the same content always gives the same bytes.
  ///
  /// The configuration is written as PEFT does: keys sorted, two spaces, no line end after the last brace.
  /// - Returns: size and SHA-256 of `adapter_model.safetensors`.
  /// - Throws: `CheckpointError.system` naming the file.
  @discardableResult
  public static func write(config: JSON, tensors: [String: Tensor], to url: URL) throws -> FileDigest {
    try makeFolder(url)
    let digest = try SafetensorsWriter.write(
      tensors: tensors.map { ($0.key, $0.value) }, to: url.appendingPathComponent(weightsName))
    try AtomicFile.write(Array(config.encoded().utf8), to: url.appendingPathComponent(configName))
    return digest
  }

  /// The tensors as scopes, for loading with expected shapes and one report of what does not fit.
  public func weights() -> WeightSource { WeightSource(tensors: tensors, origin: url.path) }
}
