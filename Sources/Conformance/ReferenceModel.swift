import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods

/// Models and methods as reference data names them.
enum ReferenceModel {
  /// - Throws: `NotSupported` for a model family there is none of.
  static func load(_ url: URL) throws -> any LanguageModel {
    let folder = try ModelFolder(url)
    if let type = folder.modelType, !ModelCatalogue.modelTypes.contains(type) {
      throw NotSupported(reason: "model type \(type)")
    }
    return try ModelCatalogue.load(folder)
  }

  /// The method of a case at its initial state.
  ///
  /// - Parameters:
  ///   - type: `FULL`, `FORWARD`, `ADAPTER`, or HF PEFT's `peft_type`.
  ///   - training: the file with what is trained, where the adapter is less.
  /// - Throws: `NotSupported` for a method, or an option of one, there is none of.
  static func method(
    _ type: String, adapter: URL, training: URL? = nil, model: any LanguageModel
  ) throws -> any PEFTMethod {
    switch type {
    case "FULL": return FullFineTuning(model)
    case "FORWARD": return FrozenBase()
    default:
      guard MethodCatalogue.entries.contains(where: { $0.peftType == type }) else {
        throw NotSupported(reason: "method \(type)")
      }
      return try read(adapter, training: training, model: model)
    }
  }

  /// The method in an adapter folder.
  static func read(_ adapter: URL, training: URL? = nil, model: any LanguageModel) throws -> any PEFTMethod {
    do {
      var folder = try AdapterFolder.read(adapter)
      if let training {
        let file = try SafetensorsFile(training)
        let tensors = try file.names.map { ($0, try file.tensor($0).copy()) }
        folder = AdapterFolder(
          url: folder.url, config: folder.config, tensors: folder.tensors,
          trainingTensors: Dictionary(uniqueKeysWithValues: tensors))
      }
      return try MethodCatalogue.read(folder, model: model)
    } catch MethodError.unsupported(_, let key, let value) {
      throw NotSupported(reason: "\(key) \(value)")
    }
  }

  /// SHA-256 of the bytes of every weight.
  static func digests(_ model: any LanguageModel) -> [String: String] {
    Dictionary(
      uniqueKeysWithValues: model.parameters.map {
        ($0.name, sha256(UnsafeRawBufferPointer($0.value.buffer)))
      })
  }
}
