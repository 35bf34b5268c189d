import Foundation
import TensorCore

/// An adaptation as Hugging Face PEFT stores it: `adapter_config.json` and `adapter_model.safetensors`; or as the library
/// `adapters` does, whose weights file is `adapter.safetensors`.
///
/// What the keys and names mean belongs to the methods; this type moves them between disk and memory.
public struct AdapterFolder: Sendable {
  public let url: URL
  public let config: JSONObject
  /// The tensors, copied into memory of their own.
  public let tensors: [String: Tensor]
  /// The form that was trained, where the adapter is less: the networks that made a prompt or prefix. Empty otherwise.
  public let trainingTensors: [String: Tensor]

  private static let configName = "adapter_config.json"
  static let trainingName = "training_form.safetensors"
  /// Where the library `adapters` keeps the head of a model; read as a training form is.
  private static let headName = "model_head.safetensors"

  public init(url: URL, config: JSONObject, tensors: [String: Tensor], trainingTensors: [String: Tensor] = [:]) {
    self.url = url
    self.config = config
    self.tensors = tensors
    self.trainingTensors = trainingTensors
  }

  /// The adapters in the subfolders of a folder that is none itself, by name.
  public static func parts(of url: URL) -> [URL] {
    func isAdapter(_ folder: URL) -> Bool {
      FileManager.default.fileExists(atPath: folder.appendingPathComponent(configName).path)
    }
    guard !isAdapter(url) else { return [] }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
    return names.sorted().map { url.appendingPathComponent($0) }.filter(isAdapter)
  }

  /// The weights file that goes with a configuration: only PEFT's has a `peft_type`.
  public static func weightsName(_ config: [String: JSON]) -> String {
    config["peft_type"] == nil && config["config"] != nil ? "adapter.safetensors" : "adapter_model.safetensors"
  }

  /// - Parameter isChecked: whether values that are not finite are an error.
  /// - Throws: `CheckpointError`: a file missing or broken, the weights in another format than safetensors.
  public static func read(_ url: URL, isChecked: Bool = true) throws -> AdapterFolder {
    try requireFolder(
      url, purpose: "an adapter folder with \(configName) and adapter_model.safetensors is needed")
    let configURL = url.appendingPathComponent(configName)
    guard try isPresent(configURL) else {
      // PEFT writes an adapter that is not called "default" into a folder of that name.
      let inside = parts(of: url).map(\.path)
      throw CheckpointError.missing(
        path: configURL.path, purpose: "it describes the adapter",
        remedy: inside.isEmpty
          ? "give the folder of a PEFT adapter; that of a run is its subfolder 'adapter'"
          : "give \(inside.count == 1 ? "" : "one of ")\(inside.joined(separator: ", ")), where one is")
    }
    let config = try JSONObject(file: configURL)
    let weights = url.appendingPathComponent(weightsName(config.members))
    if try !isPresent(weights) {
      try ModelFolder.refuseOtherFormats(in: url, suffixes: [".bin", ".pt", ".pth"])
      throw CheckpointError.missing(
        path: weights.path, purpose: "it holds the weights of the adapter",
        remedy: "give the folder of a PEFT adapter in safetensors format")
    }
    let beside = [trainingName, headName].map { url.appendingPathComponent($0) }
    let training = try beside.first(where: isPresent)
    return AdapterFolder(
      url: url, config: config, tensors: try copies(weights, isChecked),
      trainingTensors: try training.map { try copies($0, isChecked) } ?? [:])
  }

  private static func copies(_ url: URL, _ isChecked: Bool) throws -> [String: Tensor] {
    let file = try SafetensorsFile(url)
    var copies: [String: Tensor] = [:]
    for name in file.names {
      let tensor = try file.tensor(name).copy()
      if isChecked { try tensor.requireFinite(path: url.path, name: name) }
      copies[name] = tensor
    }
    return copies
  }

  /// Writes the adapter to `url`, which is made if need be; the same content always gives the same bytes.
  ///
  /// The configuration is written as PEFT does: keys sorted, two spaces, no line end after the last brace.
  /// - Parameter trainingTensors: go into `training_form.safetensors`, which PEFT does not look at.
  /// - Returns: size and SHA-256 of the weights file.
  /// - Throws: `CheckpointError.system` naming the file.
  @discardableResult
  public static func write(
    config: JSON, tensors: [String: Tensor], trainingTensors: [String: Tensor] = [:], to url: URL
  ) throws -> FileDigest {
    try makeFolder(url)
    var members: [String: JSON] = [:]
    if case .object(let found) = config { members = found.dictionary }
    if !trainingTensors.isEmpty {
      try SafetensorsWriter.write(
        tensors: trainingTensors.map { ($0.key, $0.value) }, to: url.appendingPathComponent(trainingName))
    }
    let digest = try SafetensorsWriter.write(
      tensors: tensors.map { ($0.key, $0.value) }, to: url.appendingPathComponent(weightsName(members)))
    try AtomicFile.write(Array(config.encoded().utf8), to: url.appendingPathComponent(configName))
    return digest
  }

  /// The tensors as scopes, for loading with expected shapes and one report of what does not fit.
  public func weights() -> WeightSource { WeightSource(tensors: tensors, origin: url.path) }

  /// The same for the form that was trained.
  public func trainingWeights() -> WeightSource {
    WeightSource(tensors: trainingTensors, origin: url.appendingPathComponent(Self.trainingName).path)
  }
}
