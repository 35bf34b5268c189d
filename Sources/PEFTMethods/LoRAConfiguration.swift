import Checkpoints
import Foundation
import NN

/// Which biases LoRA trains.
public enum LoRABias: String, Sendable, CaseIterable {
  case none
  case loraOnly = "lora_only"
  case all
}

/// The options of LoRA, with the keys of HF PEFT's `LoraConfig`.
public struct LoRAConfiguration: Sendable {
  public var factorRank: Int
  public var alpha: Double
  public var dropout: Double
  public var targetModules: ModuleSelection
  /// Never adapted, whatever `targetModules` says.
  public var excludedModules: ModuleSelection?
  public var usesRankStabilization: Bool
  public var bias: LoRABias
  /// Of several patterns that match the first counts.
  public var rankPattern: ModulePatterns<Int>
  public var alphaPattern: ModulePatterns<Double>
  public var modulesToSave: [String]
  /// Weight-decomposed updates (DoRA).
  public var usesMagnitudes: Bool
  /// Numbers of the layers to adapt; nil for all.
  public var layers: [Int]?
  /// Path segments in front of a layer's number; none for any.
  public var layersPattern: [String]
  public var initialization: LoRAInitialization
  /// Learning rate of B, biases and magnitudes ÷ that of A (LoRA+).
  public var plusRatio: Double

  init(_ options: MethodOptions, _ model: ModelDescription) {
    factorRank = options.factorRank
    alpha = options.alpha
    dropout = options.loraDropout
    targetModules = options.targetModules ?? .names(model.defaultLoRATargets)
    usesRankStabilization = options.usesRankStabilization
    bias = options.bias
    rankPattern = options.rankPattern
    alphaPattern = options.alphaPattern
    modulesToSave =
      options.modulesToSave + (model.head == nil || !options.trainsHead ? [] : TrainedHead.modules)
    usesMagnitudes = options.usesMagnitudes
    layers = options.layers
    layersPattern = options.layersPattern
    initialization = options.loraInitialization
    plusRatio = options.loraPlusRatio
  }

  init(_ config: JSONObject, _ model: ModelDescription) throws {
    try config.refuse([
      "layer_replication", "lora_bias", "target_parameters", "trainable_token_indices", "use_qalora",
      "use_bdlora", "alora_invocation_tokens", "megatron_config",
    ])
    factorRank = try config.optionalInt("r") ?? 8
    alpha = try config.optionalDouble("lora_alpha") ?? 8
    dropout = try config.optionalDouble("lora_dropout") ?? 0
    targetModules =
      try config["target_modules"].map { try ModuleSelection($0, config: config) } ?? .names(model.defaultLoRATargets)
    excludedModules = try config.excludedModules
    usesRankStabilization = try config.optionalBool("use_rslora") ?? false
    let biasName = try config.optionalString("bias") ?? "none"
    guard let bias = LoRABias(rawValue: biasName) else {
      throw config.error("bias", expected: "none, lora_only or all")
    }
    self.bias = bias
    rankPattern = try config.patterns("rank_pattern") { try $0.int($1) }
    alphaPattern = try config.patterns("alpha_pattern") { try $0.double($1) }
    modulesToSave = try config.optionalStrings("modules_to_save") ?? []
    usesMagnitudes = try config.optionalBool("use_dora") ?? false
    if case .integer(let layer)? = config["layers_to_transform"] {
      layers = [layer]
    } else {
      layers = try config.optionalInts("layers_to_transform")
      if layers?.isEmpty == true { layers = nil }
    }
    if case .string(let pattern)? = config["layers_pattern"] {
      layersPattern = pattern.isEmpty ? [] : [pattern]
    } else {
      layersPattern = try config.optionalStrings("layers_pattern") ?? []
    }
    initialization = try LoRAInitialization(config)
    plusRatio = 1
  }

  func validate() throws {
    guard factorRank > 0, rankPattern.values.allSatisfy({ $0 > 0 }) else {
      throw MethodError.badOption(option: "--lora-r", value: "\(factorRank)", expected: "a positive rank")
    }
    guard (0..<1).contains(dropout) else {
      throw MethodError.badOption(option: "--lora-dropout", value: "\(dropout)", expected: "a rate from 0 to below 1")
    }
    guard plusRatio > 0, plusRatio.isFinite else {
      throw MethodError.badOption(option: "--lora-plus-ratio", value: "\(plusRatio)", expected: "a positive number")
    }
    guard layers != nil || layersPattern.isEmpty else {
      throw MethodError.badOption(
        option: "--layers-pattern", value: layersPattern.joined(separator: ","),
        expected: "--layers-to-transform with it")
    }
    // PEFT takes layers beside a list of names only.
    let text: String? =
      switch targetModules {
      case .expression(let pattern): "the expression '\(pattern)'"
      case .allLinear: "all-linear"
      case .names: nil
      }
    if let text, layers != nil {
      throw MethodError.badOption(
        option: "--layers-to-transform", value: "with \(text)", expected: "a list of names in --target-modules")
    }
    guard !(usesMagnitudes && initialization == .pissa) else {
      throw MethodError.badOption(option: "--lora-init", value: "pissa", expected: "another one with --use-dora")
    }
  }

  /// Whether the layer that `path` lies in is to be adapted; true where no layers are named.
  func selectsLayer(_ path: String) throws -> Bool {
    guard let layers, !isNamedInFull(path) else { return true }
    let patterns = layersPattern.isEmpty ? [".*?\\.[^.]*"] : layersPattern.map { "(?:^|.*?\\.)\($0)" }
    for pattern in patterns {
      let expression = try PythonExpression("\(pattern)\\.(\\d+)\\.", option: "--layers-pattern", isWhole: false)
      guard let number = try expression.lastGroup(path) else { continue }
      return Int(number).map(layers.contains) ?? false
    }
    return false
  }

  private func isNamedInFull(_ path: String) -> Bool {
    guard case .names(let names) = targetModules else { return false }
    return names.contains(path)
  }

  /// Rank and scaling of the projection at `path`.
  func factors(path: String) throws -> (rank: Int, scaling: Float) {
    let rank = try rankPattern.value(path: path, option: "--lora-rank-pattern") ?? factorRank
    let alpha = try alphaPattern.value(path: path, option: "--lora-alpha-pattern") ?? self.alpha
    return (rank, Float(alpha / (usesRankStabilization ? Double(rank).squareRoot() : Double(rank))))
  }
}

extension JSONObject {
  /// An object of patterns and numbers, in its order.
  fileprivate func patterns<Value>(
    _ key: String, _ value: (JSONObject, String) throws -> Value
  ) throws -> ModulePatterns<Value> {
    guard let object = try optionalObject(key) else { return ModulePatterns() }
    return ModulePatterns(try object.keys.map { ($0, try value(object, $0)) })
  }

  /// `exclude_modules`: names, or an expression; nil for none.
  var excludedModules: ModuleSelection? {
    get throws {
      guard let value = self["exclude_modules"], value != .array([]), value != .string("") else { return nil }
      return try ModuleSelection(value, config: self, key: "exclude_modules")
    }
  }
}

extension ModulePatterns {
  /// As PEFT writes it, in its order.
  fileprivate func json(_ number: (Value) -> JSON) -> JSON {
    .object(JSONMembers(keepingOrder: entries.map { ($0.pattern, number($0.value)) }))
  }
}

extension JSON {
  /// An integral number as an integer, as Python prints one it was given as such.
  static func number(_ value: Double) -> JSON {
    value == value.rounded() && abs(value) < 1e15 ? .integer(Int(value)) : .double(value)
  }
}

// MARK: adapter_config.json

extension LoRAConfiguration {
  /// - Parameter isDoubled: the adapter holds `[A; A₀]` and `[B, -B₀]` at the same scaling.
  func json(baseModelName: String, isDoubled: Bool, model: ModelDescription) -> JSON {
    let factor = isDoubled ? (usesRankStabilization ? 2.0.squareRoot() : 2) : 1
    return [
      "alora_invocation_tokens": nil, "alpha_pattern": alphaPattern.json { .number(factor * $0) },
      "arrow_config": nil, "auto_mapping": nil, "base_model_name_or_path": .string(baseModelName),
      "bias": .string(bias.rawValue), "corda_config": nil, "ensure_weight_tying": false, "eva_config": nil,
      "exclude_modules": excludedModules?.json ?? nil, "fan_in_fan_out": .bool(model.fanInFanOut),
      "inference_mode": true,
      "init_lora_weights": isDoubled ? true : initialization.json, "layer_replication": nil,
      "layers_pattern": layersPattern.isEmpty ? nil : .array(layersPattern.map { .string($0) }),
      "layers_to_transform": layers.map { .array($0.map { .integer($0) }) } ?? nil, "loftq_config": [:],
      "lora_alpha": .number(factor * alpha), "lora_bias": false, "lora_dropout": .double(dropout),
      "megatron_config": nil, "megatron_core": "megatron.core",
      "modules_to_save": modulesToSave.isEmpty ? nil : .array(modulesToSave.map { .string($0) }),
      "peft_type": "LORA", "qalora_group_size": 16, "r": .integer(isDoubled ? 2 * factorRank : factorRank),
      "rank_pattern": rankPattern.json { .integer(isDoubled ? 2 * $0 : $0) }, "revision": nil,
      "target_modules": targetModules.json, "target_parameters": nil, "task_type": .string(model.kind.rawValue),
      "trainable_token_indices": nil, "use_dora": .bool(usesMagnitudes), "use_qalora": false,
      "use_rslora": .bool(usesRankStabilization),
    ]
  }

  /// The configuration that was trained with, from that of the doubled adapter.
  mutating func halve(_ config: JSONObject) throws {
    guard factorRank % 2 == 0, rankPattern.values.allSatisfy({ $0 % 2 == 0 }) else {
      throw config.error("r", expected: "an even number, as training_form.safetensors is there")
    }
    let factor = usesRankStabilization ? 2.0.squareRoot() : 2
    factorRank /= 2
    alpha /= factor
    rankPattern = rankPattern.mapValues { $0 / 2 }
    alphaPattern = alphaPattern.mapValues { $0 / factor }
    initialization = .pissa
  }
}
