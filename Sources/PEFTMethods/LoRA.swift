import Autograd
import Checkpoints
import Foundation
import NN
import TensorCore

// LoRA (Hu et al. 2021, "LoRA: low-rank adaptation of large language models", eq. 3): beside a frozen projection W,
// h = W x + (α / r) B A x with A [R, in] random and B [out, R] zero at the start. rsLoRA (Kalajdzievski 2023) scales by
// α / √r. Options, names and file format as HF PEFT `tuners/lora`.

/// Which biases LoRA trains.
public enum LoRABias: String, Sendable, CaseIterable {
  case none
  case loraOnly = "lora_only"
  case all
}

public struct LoRAConfiguration: Sendable {
  public var factorRank: Int
  public var alpha: Double
  public var dropout: Double
  public var targetModules: ModuleSelection
  public var usesRankStabilization: Bool
  public var bias: LoRABias
  public var rankPattern: [String: Int]
  public var alphaPattern: [String: Double]
  public var modulesToSave: [String]

  init(_ options: MethodOptions, _ model: ModelDescription) {
    factorRank = options.factorRank
    alpha = options.alpha
    dropout = options.loraDropout
    targetModules = options.targetModules ?? .names(model.defaultLoRATargets)
    usesRankStabilization = options.usesRankStabilization
    bias = options.bias
    rankPattern = options.rankPattern
    alphaPattern = options.alphaPattern
    modulesToSave = options.modulesToSave
  }

  init(_ config: JSONObject, _ model: ModelDescription) throws {
    try config.refuse([
      "use_dora", "layers_to_transform", "layer_replication", "lora_bias", "exclude_modules", "target_parameters",
      "trainable_token_indices", "use_qalora", "use_bdlora", "alora_invocation_tokens", "megatron_config",
    ])
    factorRank = try config.optionalInt("r") ?? 8
    alpha = try config.optionalDouble("lora_alpha") ?? 8
    dropout = try config.optionalDouble("lora_dropout") ?? 0
    targetModules =
      try config["target_modules"].map { try ModuleSelection($0, config: config) } ?? .names(model.defaultLoRATargets)
    usesRankStabilization = try config.optionalBool("use_rslora") ?? false
    let biasName = try config.optionalString("bias") ?? "none"
    guard let bias = LoRABias(rawValue: biasName) else {
      throw config.error("bias", expected: "none, lora_only or all")
    }
    self.bias = bias
    rankPattern = [:]
    for key in try config.optionalObject("rank_pattern")?.members.keys.sorted() ?? [] {
      rankPattern[key] = try config.object("rank_pattern").int(key)
    }
    alphaPattern = [:]
    for key in try config.optionalObject("alpha_pattern")?.members.keys.sorted() ?? [] {
      alphaPattern[key] = try config.object("alpha_pattern").double(key)
    }
    modulesToSave = try config.optionalStrings("modules_to_save") ?? []
  }

  func validate() throws {
    guard factorRank > 0, rankPattern.values.allSatisfy({ $0 > 0 }) else {
      throw MethodError.badOption(option: "--lora-r", value: "\(factorRank)", expected: "a positive rank")
    }
    guard (0..<1).contains(dropout) else {
      throw MethodError.badOption(option: "--lora-dropout", value: "\(dropout)", expected: "a rate from 0 to below 1")
    }
  }

  /// Rank and scaling of the projection at `path`; of several matching patterns the first in sorted order counts.
  func factors(path: String) throws -> (rank: Int, scaling: Float) {
    func value<Value>(_ patterns: [String: Value], option: String) throws -> Value? {
      for (pattern, value) in patterns.sorted(by: { $0.key < $1.key }) {
        let expression = try pythonExpression("(.*\\.)?(\(pattern))", option: option)
        if (try? expression.wholeMatch(in: path)) != nil { return value }
      }
      return nil
    }
    let rank = try value(rankPattern, option: "--lora-rank-pattern") ?? factorRank
    let alpha = try value(alphaPattern, option: "--lora-alpha-pattern") ?? self.alpha
    return (rank, Float(alpha / (usesRankStabilization ? Double(rank).squareRoot() : Double(rank))))
  }
}

public final class LoRA: PEFTMethod {
  public let name = "lora"
  public let parameters: [Parameter]
  public let substitutions: [(base: Parameter, site: Int)]
  private let configuration: LoRAConfiguration
  private let terms: [String: Term]
  /// Output heads trained as copies of their own: site of the weight by path.
  private let savedHeads: [String: Int]

  private struct Term: Sendable {
    /// Index of A among the sites; B follows it.
    let a: Int
    let scaling: Float
  }

  private static let prefix = "base_model.model."

  /// - Parameter values: tensor for a name and shape; the initial one if nil.
  public init(
    _ configuration: LoRAConfiguration, _ model: any LanguageModel,
    values: (_ name: String, _ shape: [Int]) -> Tensor?, seed: UInt64
  ) throws {
    try configuration.validate()
    self.configuration = configuration
    let description = model.description
    let saved: (String) -> Bool = { module in
      let components = module.split(separator: ".")
      return components.indices.contains { end in
        let ancestor = components[...end].joined(separator: ".")
        return configuration.modulesToSave.contains { ancestor.hasSuffix($0) }
      }
    }
    let targets = try configuration.targetModules.linears(
      of: model, option: "--target-modules", excluding: saved)
    var parameters: [Parameter] = []
    var substitutions: [(base: Parameter, site: Int)] = []
    var terms: [String: Term] = [:]
    for linear in targets {
      let (rank, scaling) = try configuration.factors(path: linear.path)
      let names = ["A", "B"].map { "\(Self.prefix)\(linear.path).lora_\($0).weight" }
      let (aShape, bShape) = ([rank, linear.inputSize], [linear.outputSize, rank])
      let generator = CounterGenerator(seed: seed, purpose: .initialization, site: UInt32(terms.count))
      let a =
        values(names[0], aShape)
        ?? Initialization.uniform(aShape, bound: 1 / Double(linear.inputSize).squareRoot(), generator)
      terms[linear.path] = Term(a: parameters.count, scaling: scaling)
      parameters.append(Parameter(names[0], a))
      parameters.append(Parameter(names[1], values(names[1], bShape) ?? Tensor(zeros: bShape)))
    }

    func train(_ base: Parameter, name: String) {
      substitutions.append((base, parameters.count))
      parameters.append(Parameter(name, values(name, base.shape) ?? base.value.copy()))
    }
    if configuration.bias != .none {
      for linear in description.linears where !saved(linear.path) {
        guard let bias = linear.bias, configuration.bias == .all || terms[linear.path] != nil else { continue }
        let owner = terms[linear.path] == nil ? linear.path : linear.path + ".base_layer"
        train(bias, name: "\(Self.prefix)\(owner).bias")
      }
      if configuration.bias == .all {
        let done = Set(description.linears.compactMap { $0.bias?.name })
        for base in model.parameters where base.name.hasSuffix(".bias") && !done.contains(base.name) {
          if !saved(base.modulePath) { train(base, name: Self.prefix + base.name) }
        }
      }
    }
    // A head that shares its tensor with the embedding is copied for itself alone.
    let head = description.linears.first { $0.path == description.outputHeadPath }
    var savedHeads: [String: Int] = [:]
    for base in model.parameters where saved(base.modulePath) { train(base, name: Self.prefix + base.name) }
    if let head, saved(head.path), head.weight === description.wordEmbedding {
      savedHeads[head.path] = parameters.count
      let name = "\(Self.prefix)\(head.path).weight"
      parameters.append(Parameter(name, values(name, head.weight.shape) ?? head.weight.value.copy()))
    }
    if !configuration.modulesToSave.isEmpty, substitutions.isEmpty, savedHeads.isEmpty {
      throw MethodError.nothingMatches(
        option: "--modules-to-save", value: configuration.modulesToSave.joined(separator: ","),
        known: [description.outputHeadPath])
    }
    self.parameters = parameters
    self.substitutions = substitutions
    self.terms = terms
    self.savedHeads = savedHeads
  }

  // MARK: The method

  public func seams(_ sites: [Variable]) -> any Seams {
    LoRASeams(terms: terms, sites: sites, savedHeads: savedHeads, dropout: Float(configuration.dropout))
  }

  private struct LoRASeams: Seams {
    let terms: [String: Term]
    let sites: [Variable]
    let savedHeads: [String: Int]
    let dropout: Float

    func adapts(_ layer: Linear) -> Bool { terms[layer.path] != nil || savedHeads[layer.path] != nil }

    func linear(_ layer: Linear, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable? {
      if let head = savedHeads[layer.path] {
        return pass.tape.linear(x, weight: sites[head], keepsFP32: layer.keepsFP32)
      }
      guard let term = terms[layer.path] else { return nil }
      return layer.unadapted(
        x, pass,
        lowRank: LowRankTerm(
          a: sites[term.a], b: sites[term.a + 1], scaling: term.scaling,
          dropout: dropout > 0 ? pass.dropoutMask(layout, rate: dropout) : nil))
    }
  }

  // MARK: HF PEFT

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    let c = configuration
    let integral = c.alpha == c.alpha.rounded()
    let config: JSON = [
      "alora_invocation_tokens": nil, "alpha_pattern": .object(c.alphaPattern.mapValues { .number($0) }),
      "arrow_config": nil, "auto_mapping": nil, "base_model_name_or_path": .string(baseModelName),
      "bias": .string(c.bias.rawValue), "corda_config": nil, "ensure_weight_tying": false, "eva_config": nil,
      "exclude_modules": nil, "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
      "layer_replication": nil, "layers_pattern": nil, "layers_to_transform": nil, "loftq_config": [:],
      "lora_alpha": integral ? .integer(Int(c.alpha)) : .double(c.alpha), "lora_bias": false,
      "lora_dropout": .double(c.dropout), "megatron_config": nil, "megatron_core": "megatron.core",
      "modules_to_save": c.modulesToSave.isEmpty ? nil : .array(c.modulesToSave.map { .string($0) }),
      "peft_type": "LORA", "qalora_group_size": 16, "r": .integer(c.factorRank),
      "rank_pattern": .object(c.rankPattern.mapValues { .integer($0) }), "revision": nil,
      "target_modules": c.targetModules.json, "target_parameters": nil, "task_type": "SEQ_2_SEQ_LM",
      "trainable_token_indices": nil, "use_dora": false, "use_qalora": false,
      "use_rslora": .bool(c.usesRankStabilization),
    ]
    return AdapterFiles(
      config: config, tensors: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) }))
  }

  static let entry = MethodEntry(
    name: "lora", peftType: "LORA", defaultLearningRate: 2e-3,
    make: { options, model, seed in
      try LoRA(LoRAConfiguration(options, model.description), model, values: { _, _ in nil }, seed: seed)
    },
    read: { folder, model in
      let weights = folder.weights()
      let method = try LoRA(
        LoRAConfiguration(folder.config, model.description), model,
        values: { weights.scope().tensor($0, $1) }, seed: 0)
      // Copies that PEFT saves beside the real classifier (bias "all") are known and left alone.
      let copies = weights.names.filter { $0.contains(".modules_to_save.default.") || $0.contains(".original_module.") }
      try weights.finish(tolerated: copies)
      return method
    })
}

extension JSON {
  /// An integral number as an integer, as Python prints one it was given as such.
  static func number(_ value: Double) -> JSON {
    value == value.rounded() && abs(value) < 1e15 ? .integer(Int(value)) : .double(value)
  }
}
