import Crypto
import Foundation

/// A model as the Hugging Face hub stores it: `config.json` and the weights in one or several safetensors
/// files.
public struct ModelFolder: Sendable {
  public let url: URL
  public let config: JSONObject
  /// Defaults for generation, if the folder has `generation_config.json`.
  public let generationConfig: JSONObject?
  /// The files with weights, by name.
  private let weightFiles: [SafetensorsFile]
  private let fileOfTensor: [String: SafetensorsFile]

  private static let configName = "config.json"
  static let weightsName = "model.safetensors"
  private static let indexName = "model.safetensors.index.json"

  /// Opens the folder and checks the headers of all its files. Weights are not read yet.
  ///
  /// - Throws: `CheckpointError`: no folder, no configuration, no weights in safetensors format, a shard
  ///   missing, or a file that breaks its format.
  public init(_ url: URL) throws {
    self.url = url
    try requireFolder(
      url, purpose: "a model folder with config.json and model.safetensors is needed",
      remedy: "check the path; a model of the Hugging Face hub is fetched first (hf download NAME --local-dir FOLDER)")
    let configURL = url.appendingPathComponent(Self.configName)
    guard try isPresent(configURL) else {
      throw CheckpointError.missing(
        path: configURL.path, purpose: "it describes the model",
        remedy: "give the folder of a Hugging Face model, with config.json and model.safetensors")
    }
    config = try JSONObject(file: configURL)
    let generationURL = url.appendingPathComponent("generation_config.json")
    generationConfig = try isPresent(generationURL) ? JSONObject(file: generationURL) : nil
    (weightFiles, fileOfTensor) = try Self.openWeights(in: url)
  }

  /// `model_type` of the configuration.
  public var modelType: String? {
    guard case .string(let name) = config["model_type"] else { return nil }
    return name
  }

  /// - Throws: `CheckpointError.wrongModelType` unless `model_type` is one of `expected`.
  public func requireModelType(_ expected: String...) throws {
    if let modelType, expected.contains(modelType) { return }
    let found = config.members["model_type"]?.summary ?? "nothing"
    throw CheckpointError.wrongModelType(path: config.origin, expected: expected, found: found)
  }

  /// A fresh view of the weights, to build one model from.
  ///
  /// - Parameter name: the name a model knows a stored tensor by; that of the file unless given.
  public func weights(named name: (String) -> String = { $0 }) -> WeightSource {
    WeightSource(files: fileOfTensor, origin: url.path, name: name)
  }

  /// Bytes of all files with weights.
  public var weightByteCount: Int { weightFiles.reduce(0) { $0 + $1.bytes.count } }
}

// MARK: Finding the weights

extension ModelFolder {
  private typealias OpenWeights = ([SafetensorsFile], [String: SafetensorsFile])

  /// One file, or else the shards of the index; as transformers does, the single file wins.
  private static func openWeights(in folder: URL) throws -> OpenWeights {
    let single = folder.appendingPathComponent(weightsName)
    if try isPresent(single) {
      let file = try SafetensorsFile(single)
      return ([file], Dictionary(uniqueKeysWithValues: file.names.map { ($0, file) }))
    }
    let index = folder.appendingPathComponent(indexName)
    if try isPresent(index) { return try openShards(in: folder, index: index) }
    try refuseOtherFormats(
      in: folder, suffixes: [".bin", ".bin.index.json", ".pt", ".pth", ".h5", ".msgpack"])
    throw CheckpointError.missing(
      path: single.path, purpose: "it holds the weights of the model",
      remedy: "give the folder of a Hugging Face model in safetensors format")
  }

  /// - Throws: an error that names the first file with weights in a format this program does not read.
  static func refuseOtherFormats(in folder: URL, suffixes: [String]) throws {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    let others = names.sorted().filter { name in
      suffixes.contains(where: name.hasSuffix) && !notWeights.contains(where: name.hasPrefix)
    }
    guard let other = others.first else { return }
    throw CheckpointError.wrongKind(
      path: folder.appendingPathComponent(other).path, expected: "weights in safetensors format",
      found: "another format only; convert them, for instance by loading the model with transformers and "
        + "save_pretrained(folder, safe_serialization=True)")
  }

  /// What a training of Hugging Face leaves beside the weights, in files of the same kinds.
  private static let notWeights = [
    "training_args", "optimizer", "scheduler", "scaler", "rng_state", "random_states", "trainer_state", "ema",
  ]

  private static func openShards(in folder: URL, index: URL) throws -> OpenWeights {
    let map = try JSONObject(file: index).object("weight_map")
    var shards: [String: SafetensorsFile] = [:]
    var fileOfTensor: [String: SafetensorsFile] = [:]
    for tensor in map.members.keys.sorted(by: { $0.precedesByCodePoint($1) }) {
      let shard = try map.string(tensor)
      let file = try shards[shard] ?? openShard(shard, in: folder, tensor: tensor, map: map)
      shards[shard] = file
      guard file.contains(tensor) else {
        throw CheckpointError.badTensor(
          path: file.path, tensor: tensor, reason: "\(indexName) says it is in this file, but it is not")
      }
      fileOfTensor[tensor] = file
    }
    let files = shards.sorted { $0.key.precedesByCodePoint($1.key) }.map(\.value)
    for file in files {
      // What the index forgets is still there, and is reported as surplus if the model has no use for it.
      for name in file.names where fileOfTensor[name] == nil { fileOfTensor[name] = file }
    }
    return (files, fileOfTensor)
  }

  private static func openShard(
    _ name: String, in folder: URL, tensor: String, map: JSONObject
  ) throws -> SafetensorsFile {
    guard !name.contains("/"), !name.contains("\0"), name.hasSuffix(".safetensors"), !name.hasPrefix(".")
    else {
      throw map.error(tensor, expected: "the name of a .safetensors file in the same folder")
    }
    let url = folder.appendingPathComponent(name)
    guard try isPresent(url) else {
      throw CheckpointError.missing(
        path: url.path, purpose: "\(indexName) lists it for tensor '\(tensor)'",
        remedy: "download all shards of the model")
    }
    return try SafetensorsFile(url)
  }
}

// MARK: Identity

extension ModelFolder {
  /// Up to this many bytes of weights all are hashed; beyond, samples of them.
  private static let fullHashLimit = 1 << 30
  private static let sampleByteCount = 1 << 20
  private static let samplesPerFile = 256

  /// Which file lies at a path, and when it was written to.
  public struct Stamp: Sendable, Equatable {
    fileprivate var place: [UInt64] = []
    fileprivate var content: [Int] = []
  }

  /// Of the weight files as they lie there now; empty for one that is gone.
  public func stamps() -> [Stamp] {
    weightFiles.map { file in
      var status = stat()
      guard stat(file.path, &status) == 0 else { return Stamp() }
      return Stamp(
        place: [UInt64(status.st_dev), UInt64(status.st_ino)],
        content: [Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec])
    }
  }

  /// Whether a file that is mapped may have been written to since then. One that another has taken the place of stays as it was.
  public func mayBeWritten(since earlier: [Stamp]) -> Bool {
    zip(earlier, stamps()).contains { $0.place == $1.place && $0.content != $1.content }
  }

  /// 64 hexadecimal digits that tell this model from any other one: SHA-256 over `config.json` and all
  /// weights.
  ///
  /// Of more than 1 GiB of weights the sizes, the headers and 256 evenly spread mebibytes of each file are
  /// hashed instead. The name of the folder does not matter, the division into shards does.
  /// - Throws: `CheckpointError` if `config.json` is gone.
  public func identity() throws -> String {
    var hash = SHA256()
    let configFile = try MappedFile(url.appendingPathComponent(Self.configName))
    configFile.withBytes { hash.update(bufferPointer: $0) }
    let isSampled = weightByteCount > Self.fullHashLimit
    for file in weightFiles {
      withUnsafeBytes(of: UInt64(file.bytes.count).littleEndian) { hash.update(bufferPointer: $0) }
      for range in isSampled ? Self.samples(of: file.bytes) : [file.bytes.indices] {
        hash.update(mapped: UnsafeRawBufferPointer(rebasing: file.bytes[range]))
      }
    }
    return hash.finalize().hexadecimal
  }

  /// The header, and pieces of the whole file in equal distances, first and last byte included.
  static func samples(of bytes: UnsafeRawBufferPointer) -> [Range<Int>] {
    let size = min(sampleByteCount, bytes.count)
    let header = min(bytes.count, 8 + Int(UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))))
    return [0..<header]
      + (0..<samplesPerFile).map { index in
        let start = (bytes.count - size) / (samplesPerFile - 1) * index
        let isLast = index == samplesPerFile - 1
        return isLast ? bytes.count - size..<bytes.count : start..<start + size
      }
  }
}
