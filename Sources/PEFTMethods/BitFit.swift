import Autograd
import Checkpoints
import NN
import TensorCore

// BitFit (Ben Zaken, Goldberg, Ravfogel 2022, "BitFit: simple parameter-efficient fine-tuning for transformer-based masked
// language-models", §2) trains the biases. T5 has none in its projections and norms: what remains of its one-dimensional
// tensors are the scales of its layer norms, and these are what is trained there. T5's relative attention bias is a table
// of embeddings by that name, not a bias vector; it stays frozen.
//
// File format: HF PEFT's `tuners/ln_tuning` (LN_TUNING; Zhao et al. 2023), which holds the same tensors.

public final class BitFit: MergeableMethod {
  public let name = "bitfit"
  public let parameters: [Parameter]
  private let base: [Parameter]
  private let modules: [String]

  /// - Parameters:
  ///   - modules: names that the trained modules end in; nil for those of all one-dimensional tensors.
  ///   - values: tensor for a name and shape; a copy of the base's if nil.
  init(
    _ model: any LanguageModel, modules: [String]? = nil, values: (_ name: String, _ shape: [Int]) -> Tensor?
  ) throws {
    let vectors = model.parameters.filter { $0.shape.count == 1 }
    let endings = Set(vectors.map { String($0.modulePath.split(separator: ".").last ?? "") }).sorted()
    let modules = modules ?? endings
    base = vectors.filter { vector in
      modules.contains { vector.modulePath == $0 || vector.modulePath.hasSuffix("." + $0) }
    }
    guard !base.isEmpty else {
      throw MethodError.nothingMatches(
        option: "target_modules", value: modules.joined(separator: ","), known: endings)
    }
    // PEFT copies whole modules; the biases of projections would bring their weights along.
    guard model.description.linears.allSatisfy({ $0.bias == nil }) else {
      throw MethodError.badOption(
        option: "--method", value: name, expected: "a model whose projections have no biases, such as T5")
    }
    self.modules = modules
    parameters = base.map { base in
      let name = "base_model.model.\(base.modulePath).ln_tuning_layers.weight"
      return Parameter(name, values(name, base.shape) ?? base.value.copy())
    }
  }

  // MARK: The method

  public var trainedParts: String? {
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
    let config: JSON = [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseModelName), "exclude_modules": nil,
      "inference_mode": true, "modules_to_save": nil, "peft_type": "LN_TUNING", "revision": nil,
      "target_modules": .array(modules.map { .string($0) }), "task_type": "SEQ_2_SEQ_LM",
    ]
    return AdapterFiles(
      config: config, tensors: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) }))
  }

  static let entry = MethodEntry(
    name: "bitfit", peftType: "LN_TUNING", defaultLearningRate: 1e-2,
    make: { _, model, _ in try BitFit(model, values: { _, _ in nil }) },
    read: { folder, model in
      try folder.config.refuse(["modules_to_save", "exclude_modules"])
      let weights = folder.weights()
      let method = try BitFit(
        model, modules: folder.config.optionalStrings("target_modules"),
        values: { weights.scope().tensor($0, $1) })
      try weights.finish()
      return method
    })
}
