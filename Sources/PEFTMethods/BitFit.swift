import Autograd
import Checkpoints
import NN
import TensorCore

// BitFit (Ben Zaken, Goldberg, Ravfogel 2022, "BitFit: simple parameter-efficient fine-tuning for transformer-based masked
// language-models", §2) trains the biases, here with the scales of the norms. T5 has no biases in its projections and norms:
// what remains of its one-dimensional tensors are those scales. T5's relative attention bias is a table of embeddings by
// that name, not a bias vector; it stays frozen.
//
// HF PEFT has no such method. Where there are scales alone, the files are those of its LN tuning. Elsewhere they are a LoRA
// of rank 1 whose factors are zero, with `bias: all` and the norms in `modules_to_save`: PEFT, and this program, load that
// and compute what was trained.

public final class BitFit: MergeableMethod {
  public let name = "bitfit"
  public let parameters: [Parameter]
  private let base: [Parameter]
  private let modules: ModuleSelection
  private let excluded: ModuleSelection?
  private let model: ModelDescription
  /// Whether the files are those of LN tuning.
  private let isLNTuning: Bool

  private static let prefix = "base_model.model."

  /// - Parameters:
  ///   - modules: names that the trained modules end in, or an expression for their paths; nil for those of all
  ///     one-dimensional tensors.
  ///   - excluded: modules that are not trained all the same.
  ///   - isLNTuning: whether it is LN tuning, whatever the model; nil where the model says it.
  ///   - values: tensor for a name and shape; a copy of the base's if nil.
  init(
    _ model: any LanguageModel, modules: ModuleSelection? = nil, excluded: ModuleSelection? = nil,
    isLNTuning: Bool? = nil,
    values: (_ name: String, _ shape: [Int]) -> Tensor?
  ) throws {
    let description = model.description
    self.model = description
    let heads = description.head?.parameters ?? []
    let vectors = model.parameters.filter { vector in
      vector.shape.count == 1 && !heads.contains { $0 === vector }
    }
    let endings = Set(vectors.map { String($0.modulePath.split(separator: ".").last ?? "") }).sorted()
    let modules = modules ?? .names(endings)
    let isNamed = try modules.matcher(description, option: "target_modules")
    let isExcluded = try excluded?.matcher(description, option: "exclude_modules")
    base = try vectors.filter { try isNamed($0.modulePath) && isExcluded?($0.modulePath) != true }
    guard !base.isEmpty else {
      throw MethodError.nothingMatches(option: "target_modules", value: modules.text, known: endings)
    }
    self.modules = modules
    self.excluded = excluded
    let isLoRA = !(isLNTuning ?? !Self.hasBiases(description))
    self.isLNTuning = !isLoRA
    let targets = isLoRA ? try Self.targets(model) : []
    parameters = base.map { base in
      let isWrapped = targets.contains { $0.bias === base }
      let own = String(base.name.split(separator: ".").last ?? "")
      let tensor = isLoRA ? (isWrapped ? "base_layer.bias" : own) : "ln_tuning_layers.\(own)"
      let name = "\(Self.prefix)\(base.modulePath).\(tensor)"
      return Parameter(name, values(name, base.shape) ?? base.value.copy())
    }
  }

  private static func hasBiases(_ model: ModelDescription) -> Bool { model.linears.contains { $0.bias != nil } }

  /// The projections that carry the zero factors.
  private static func targets(_ model: any LanguageModel) throws -> [Linear] {
    try ModuleSelection.names(model.description.defaultLoRATargets).linears(
      of: model, option: "--target-modules", excluding: { _ in false })
  }

  // MARK: The method

  public var trainedParts: String? {
    guard !Self.hasBiases(model) else {
      return isLNTuning ? "\(base.count) tensors of layer norms" : "\(base.count) biases and scales of norms"
    }
    return
      "the scales of \(base.count) layer norms; the model has no biases, its relative attention bias is a table and stays frozen"
  }

  public var substitutions: [(base: Parameter, site: Int)] { base.enumerated().map { ($1, $0) } }

  public func mergedTensors(_ model: any LanguageModel, direction: MergeDirection) throws -> [String: Tensor] {
    guard direction == .merge else {
      throw MethodError.cannotMerge(method: name, reason: "it replaces values: use the base model instead")
    }
    return Dictionary(uniqueKeysWithValues: zip(base, parameters).map { ($0.name, $1.value.copy()) })
  }

  // MARK: HF PEFT

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    guard isLNTuning else { return loraFiles(baseModelName: baseModelName) }
    let config: JSON = [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseModelName), "exclude_modules": excluded?.json ?? nil,
      "inference_mode": true, "modules_to_save": nil, "peft_type": "LN_TUNING", "revision": nil,
      "target_modules": modules.json, "task_type": .string(model.kind.rawValue),
    ]
    return AdapterFiles(
      config: config, tensors: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) }))
  }

  /// A LoRA of rank 1 that adds nothing, and the trained vectors.
  private func loraFiles(baseModelName: String) -> AdapterFiles {
    var options = MethodOptions()
    options.factorRank = 1
    options.bias = .all
    let norms = base.filter { !$0.name.hasSuffix(".bias") }
    options.modulesToSave = Set(norms.compactMap { $0.modulePath.split(separator: ".").last.map(String.init) }).sorted()
    options.trainsHead = false
    let configuration = LoRAConfiguration(options, model)
    var tensors = Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) })
    for linear in model.linears
    where model.defaultLoRATargets.contains(where: { linear.path.hasSuffix(".\($0)") }) {
      tensors["\(Self.prefix)\(linear.path).lora_A.weight"] = Tensor(zeros: [1, linear.inputSize])
      tensors["\(Self.prefix)\(linear.path).lora_B.weight"] = Tensor(zeros: [linear.outputSize, 1])
    }
    return AdapterFiles(
      config: configuration.json(baseModelName: baseModelName, isDoubled: false, model: model), tensors: tensors)
  }

  /// What LN tuning trains unless told otherwise (HF PEFT's table).
  private static let defaultModules = [
    "t5": ["layer_norm", "final_layer_norm"], "gpt2": ["ln_1", "ln_2", "ln_f"],
  ]

  static let entry = MethodEntry(
    name: "bitfit", peftType: "LN_TUNING", defaultLearningRate: 1e-2,
    make: { _, model, _ in try BitFit(model, values: { _, _ in nil }) },
    read: { folder, model in
      let config = folder.config
      guard
        let modules = try config["target_modules"].map({ try ModuleSelection($0, config: config) })
          ?? defaultModules[model.description.modelType].map(ModuleSelection.names)
      else { throw config.error("target_modules", expected: "the norms that are trained; this model has no default") }
      let weights = folder.weights()
      let method = try BitFit(
        model, modules: modules, excluded: config.excludedModules, isLNTuning: true,
        values: { weights.scope().tensor($0, $1) })
      try weights.finish()
      return method
    })
}
