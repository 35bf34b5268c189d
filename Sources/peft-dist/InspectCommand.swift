import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import PEFTMethods
import TensorCore

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what a checkpoint, adapter, run or safetensors file holds.")

  @Argument(help: ArgumentHelp("A folder or a safetensors file.", valueName: "path"))
  var path: String

  func run() throws {
    let url = URL(fileURLWithPath: path)
    func has(_ name: String) -> Bool {
      FileManager.default.fileExists(atPath: url.appendingPathComponent(name).path)
    }
    if has("adapter_config.json") { return try adapter(url) }
    let parts = MethodCatalogue.parts(of: url)
    if !parts.isEmpty { return try parts.forEach(adapter) }
    if has("checkpoints") || has("run.yaml") { return try runFolder(url) }
    if has("config.json") { return try model(url) }
    if has("manifest.json") {
      print(try TextFile.read(url.appendingPathComponent("manifest.json").path, as: "the manifest"))
      return try tensors(SafetensorsFile(url.appendingPathComponent("tensors.safetensors")))
    }
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw CheckpointError.missing(path: path, purpose: "it was to be shown", remedy: "check the path")
    }
    guard !isFolder.boolValue else {
      throw CheckpointError.wrongKind(
        path: path, expected: "the folder of a model, an adapter, a run or a checkpoint, or a safetensors file",
        found: "a folder with neither config.json, adapter_config.json, run.yaml nor manifest.json")
    }
    try tensors(SafetensorsFile(url))
  }

  private func adapter(_ url: URL) throws {
    let folder = try AdapterFolder.read(url, isChecked: false)
    print("adapter \(url.path)")
    for (key, value) in folder.config.members.sorted(by: { $0.key < $1.key }) where value != .null {
      print("  \(key): \(value.encoded(.compact))")
    }
    let type = try folder.config.adapterType
    let name = MethodCatalogue.entries.first { $0.peftType == type }?.name ?? "a method unknown to this program"
    print("method \(name); what it holds, one line for each kind of site:")
    counts(folder.tensors)
    guard !folder.trainingTensors.isEmpty else { return }
    print("trained form (training_form.safetensors):")
    counts(folder.trainingTensors)
  }

  /// Tensors that differ in layer numbers only, together.
  private func counts(_ tensors: [String: Tensor]) {
    var sites: [String: (count: Int, shape: [Int], values: Int)] = [:]
    for (name, tensor) in tensors {
      let site = name.split(separator: ".").map { Int($0) == nil ? String($0) : "*" }.joined(separator: ".")
      let key = "\(site) \(tensor.shape)"
      let old = sites[key] ?? (0, tensor.shape, 0)
      sites[key] = (old.count + 1, old.shape, old.values + tensor.count)
    }
    for (site, found) in sites.sorted(by: { $0.key < $1.key }) {
      print("  \(site) x \(found.count): \(ReadableNumbers.grouped(found.values))")
    }
    let total = tensors.values.reduce(0) { $0 + $1.count }
    print("  \(tensors.count) tensors, \(ReadableNumbers.grouped(total)) parameters")
  }

  private func model(_ url: URL) throws {
    let folder = try ModelFolder(url)
    print("model \(url.path), type \(folder.modelType ?? "unknown")")
    let weights = folder.weights()
    var total = 0
    for name in weights.names {
      let shape = weights.scope().shape(name) ?? []
      total += shape.reduce(1, *)
      print("  \(name) \(shape)")
    }
    print("\(weights.names.count) tensors, \(ReadableNumbers.grouped(total)) values")
  }

  private func runFolder(_ url: URL) throws {
    print("run \(url.path)")
    for name in ["run.yaml", "summary.json"] {
      let file = url.appendingPathComponent(name)
      guard FileManager.default.fileExists(atPath: file.path) else { continue }
      print("\(name):\n\(try TextFile.read(file.path, as: "the record"))")
    }
    let store = CheckpointStore(runFolder: url)
    print("checkpoints after steps: \(try store.steps().map(String.init).joined(separator: ", "))")
    let (newest, warnings) = try store.newestValid()
    for warning in warnings { print("warning: \(warning)") }
    print(newest.map { "newest usable: step \($0.step)" } ?? "no usable checkpoint")
  }

  private func tensors(_ file: SafetensorsFile) throws {
    var total = 0
    for name in file.names {
      guard let info = file.info(name) else { continue }
      total += info.shape.reduce(1, *)
      print("  \(name) \(info.type.rawValue) \(info.shape)")
    }
    print("\(file.names.count) tensors, \(ReadableNumbers.grouped(total)) values in \(file.path)")
  }
}
