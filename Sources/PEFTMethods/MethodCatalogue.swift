import Checkpoints
import Foundation
import NN

/// What the command line can say about a method; each method reads the part that concerns it.
public struct MethodOptions: Sendable {
  public var virtualTokenCount = 20
  public var promptInitialization = PromptInitialization.random
  public var factorRank = 8
  public var alpha = 16.0
  public var loraDropout = 0.0
  public var targetModules: ModuleSelection?
  public var usesRankStabilization = false
  public var bias = LoRABias.none
  public var rankPattern: ModulePatterns<Int> = [:]
  public var alphaPattern: ModulePatterns<Double> = [:]
  public var modulesToSave: [String] = []
  public var usesMagnitudes = false
  public var layers: [Int]?
  public var layersPattern: [String] = []
  public var loraInitialization = LoRAInitialization.standard
  public var loraPlusRatio = 1.0
  public var feedForwardModules: ModuleSelection?
  public var adapterPlacement = AdapterPlacement.pfeiffer
  public var reductionFactor = 16.0
  public var nonLinearity: String?
  public var prefixProjection = false
  public var promptTemplate: PromptTemplate?
  public var promptEncoder = PromptEncoderKind.lstm
  public var encoderHiddenSize: Int?
  public var encoderLayerCount = 2
  /// Whether a classifier's head is trained besides.
  public var trainsHead = true

  public init() {}
}

/// One line of the catalogue.
public struct MethodEntry: Sendable {
  /// The word of `--method`.
  public let name: String
  /// `peft_type` of adapter folders; nil if the method has none.
  public let peftType: String?
  /// Learning rate that serves unless the user knows better (AdamW).
  public let defaultLearningRate: Double
  /// Who trains the head of a classifier.
  public var head = HeadNaming.prefixed("base_model.model.")
  /// A fresh method on `model`, initialised from `seed`.
  public let make:
    @Sendable (_ options: MethodOptions, _ model: any LanguageModel, _ seed: UInt64) throws -> any PEFTMethod
  /// The method as an adapter folder holds it.
  public let read: @Sendable (_ folder: AdapterFolder, _ model: any LanguageModel) throws -> any PEFTMethod
}

/// Who trains the head of a classifier, and under what names it is stored.
public enum HeadNaming: Sendable, Equatable {
  /// The method itself.
  case byMethod
  /// `TrainedHead`, under this prefix in the adapter.
  case prefixed(String)
  /// `TrainedHead`, beside the adapter, which has no place for it.
  case apart

  fileprivate var prefix: String? {
    if case .prefixed(let prefix) = self { return prefix }
    return nil
  }
}

extension MethodEntry {
  /// A fresh method on `model`, with the head of a classifier beside it.
  public func tuned(_ options: MethodOptions, _ model: any LanguageModel, seed: UInt64) throws -> any PEFTMethod {
    let method = try make(options, model, seed)
    guard options.trainsHead, head != .byMethod, let classifier = model.description.head else { return method }
    return TrainedHead(method, classifier, prefix: head.prefix)
  }

  /// The same from an adapter folder. A head that is not in the folder is the base's.
  func tuned(_ folder: AdapterFolder, _ model: any LanguageModel, trainsHead: Bool) throws -> any PEFTMethod {
    guard let classifier = model.description.head else { return try readSaved(folder, model) }
    if trainsHead, classifier.isFresh, !classifier.parameters.isEmpty, !folder.holds(classifier) {
      throw MethodError.unfitTensors(
        path: folder.url.path,
        problems: ["neither the adapter nor the base model has the classifier's head; train one with this base"])
    }
    guard head != .byMethod else { return try readSaved(folder, model) }
    let (rest, stored) = try TrainedHead.split(folder, classifier, prefix: head.prefix)
    let method = try readSaved(rest, model)
    guard trainsHead else { return method }
    guard !stored.isEmpty else { return TrainedHead(method, classifier, prefix: head.prefix) }
    let source = WeightSource(tensors: stored, origin: folder.url.path)
    let tuned = TrainedHead(method, classifier, prefix: head.prefix) { source.tensor($0, $1) }
    try source.finish()
    return tuned
  }
}

extension MethodEntry {
  /// Methods of HF PEFT, whose files may hold tensors of the base besides: the prefix of their names.
  private static let savedPrefixes = [
    "LORA": "base_model.model.", "IA3": "base_model.model.", "LN_TUNING": "base_model.model.",
    "PROMPT_TUNING": "base_model.", "P_TUNING": "base_model.", "PREFIX_TUNING": "base_model.",
  ]

  fileprivate func readSaved(_ folder: AdapterFolder, _ model: any LanguageModel) throws -> any PEFTMethod {
    guard let peftType, let prefix = Self.savedPrefixes[peftType] else { return try read(folder, model) }
    return try SavedModules.read(
      folder, model, prefix: prefix, savesModules: ["IA3", "LN_TUNING"].contains(peftType)
    ) { try read($0, model) }
  }
}

public enum MethodCatalogue {
  public static let entries = [
    FullFineTuning.entry, PromptTuning.entry, LoRA.entry, IA3.entry, BitFit.entry, BottleneckAdapter.entry,
    PrefixTuning.entry, PaperPrefixTuning.entry, PTuning.entry, TemplatePTuning.entry,
  ]

  public static func entry(named name: String) throws -> MethodEntry {
    guard let entry = entries.first(where: { $0.name == name }) else {
      throw MethodError.unknownMethod(name: name, known: entries.map(\.name))
    }
    return entry
  }

  /// The method an adapter folder was made by, with the folder's values.
  ///
  /// - Parameter trainsHead: whether the head of a classifier belongs to it.
  public static func read(
    _ folder: AdapterFolder, model: any LanguageModel, trainsHead: Bool = true
  ) throws -> any PEFTMethod {
    let type = try folder.config.adapterType
    guard let entry = entries.first(where: { $0.peftType == type }) else {
      throw MethodError.unsupported(path: folder.config.origin, key: "peft_type", value: "'\(type)'")
    }
    return try entry.tuned(folder, model, trainsHead: trainsHead)
  }

  /// The same from disk: an adapter, or a folder with one of each of several methods.
  public static func read(folder url: URL, model: any LanguageModel) throws -> any PEFTMethod {
    let parts = parts(of: url)
    guard parts.isEmpty else {
      // One of them has the head; where none has, that of the base counts, and the first trains it.
      let folders = try parts.map { try AdapterFolder.read($0) }
      let owner = model.description.head.flatMap { head in folders.firstIndex { $0.holds(head) } } ?? 0
      let methods = try folders.enumerated().map { try readOne($1, model: model, trainsHead: $0 == owner) }
      return try CombinedMethod(methods, model, rateFactors: methods.map { _ in 1 })
    }
    return try readOne(AdapterFolder.read(url), model: model, trainsHead: true)
  }

  /// The adapters of several methods at once, in subfolders named after them; none if `url` is anything else.
  public static func parts(of url: URL) -> [URL] {
    let folders = AdapterFolder.parts(of: url)
    let known = Set(entries.map(\.name))
    return folders.count > 1 && folders.allSatisfy { known.contains($0.lastPathComponent) } ? folders : []
  }

  /// A folder that does not fit the model says which base it was made for.
  private static func readOne(
    _ folder: AdapterFolder, model: any LanguageModel, trainsHead: Bool
  ) throws -> any PEFTMethod {
    let base = (try? folder.config.optionalString("base_model_name_or_path")).flatMap { $0 }
    do {
      return try read(folder, model: model, trainsHead: trainsHead)
    } catch CheckpointError.unfitWeights(_, let problems) {
      throw MethodError.unfitTensors(
        path: folder.url.path,
        problems: (base.map { ["it was made for the base model '\($0)'"] } ?? []) + ["\(problems)"])
    } catch let error as MethodError {
      throw error.ofFile(folder.config, base: base)
    }
  }
}

extension JSONObject {
  /// `peft_type`, or what stands for it in a folder of the library `adapters`.
  public var adapterType: String {
    get throws {
      try self["peft_type"] == nil && self["config"] != nil ? BottleneckAdapter.folderType : string("peft_type")
    }
  }

  /// Refuses keys whose value asks for something this version would silently leave out.
  func refuse(_ keys: [String]) throws {
    for key in keys {
      switch self[key] {
      case nil, .bool(false), .array([]), .integer(0), .double(0): continue
      case .object(let members)? where members.isEmpty: continue
      case let value?:
        throw MethodError.unsupported(path: origin, key: key, value: value.summary)
      }
    }
  }
}
