import Autograd
import Checkpoints
import Foundation
import NN
import TensorCore

// (IA)³ (Liu et al. 2022, "Few-shot parameter-efficient fine-tuning is better and cheaper than in-context learning", §3.3):
// one trained vector l for each adapted projection, ones at the start. Keys and values: y = l ⊙ (W x + b). Feed-forward:
// y = W (l ⊙ x) + b. Names and file format as HF PEFT `tuners/ia3`.

public struct IA3Configuration: Sendable {
  public var targetModules: ModuleSelection
  /// Those among them whose input is scaled: names a path ends in, or an expression for all of it.
  public var feedForwardModules: ModuleSelection
  /// Never adapted, whatever `targetModules` says.
  public var excludedModules: ModuleSelection?

  init(_ options: MethodOptions, _ model: ModelDescription) {
    targetModules = options.targetModules ?? .names(model.defaultIA3Targets)
    let names = model.defaultIA3FeedForward
    feedForwardModules =
      options.feedForwardModules ?? (options.targetModules == nil ? .names(names) : Self.known(names, targetModules))
  }

  /// Of the model's feed-forward names those that are asked for: PEFT wants no others.
  private static func known(_ names: [String], _ targets: ModuleSelection) -> ModuleSelection {
    guard case .names(let targets) = targets else { return .names(names) }
    return .names(names.filter(targets.contains))
  }

  init(_ config: JSONObject, _ model: ModelDescription) throws {
    excludedModules = try config.excludedModules
    targetModules =
      try config["target_modules"].map { try ModuleSelection($0, config: config) } ?? .names(model.defaultIA3Targets)
    feedForwardModules =
      try config["feedforward_modules"].map { try ModuleSelection($0, config: config, key: "feedforward_modules") }
      ?? (config["target_modules"] == nil ? .names(model.defaultIA3FeedForward) : .names([]))
  }

  func validate() throws {
    if case .names(let targets) = targetModules, case .names(let names) = feedForwardModules,
      let stranger = names.first(where: { !targets.contains($0) })
    {
      throw MethodError.badOption(
        option: "--feedforward-modules", value: "'\(stranger)'", expected: "some of the names in --target-modules")
    }
  }

  /// Whether the input of the projection at `path` is scaled. PEFT compares ends of names without a dot.
  func scalesInput(_ path: String) throws -> Bool {
    switch feedForwardModules {
    case .names(let names): return names.contains { path.hasSuffix($0) }
    case .expression(let pattern):
      return try PythonExpression(pattern, option: "--feedforward-modules").matches(path)
    case .allLinear: return true
    }
  }
}

public final class IA3: MergeableMethod {
  public let name = "ia3"
  public let parameters: [Parameter]
  private let configuration: IA3Configuration
  private let model: ModelDescription
  private let vectors: [String: Vector]

  private struct Vector: Sendable {
    let site: Int
    let scalesInput: Bool
  }

  /// - Parameter values: tensor for a name and shape; ones if nil.
  init(
    _ configuration: IA3Configuration, _ model: any LanguageModel,
    values: (_ name: String, _ shape: [Int]) -> Tensor?
  ) throws {
    try configuration.validate()
    self.configuration = configuration
    let description = model.description
    self.model = description
    let heads = description.head == nil ? [] : description.outputHeadPaths
    let excluded = try configuration.excludedModules?.matcher(description, option: "exclude_modules")
    let targets = try configuration.targetModules.linears(
      of: model, option: "--target-modules", excluding: { try heads.contains($0) || excluded?($0) == true })
    var parameters: [Parameter] = []
    var vectors: [String: Vector] = [:]
    for linear in targets {
      let scalesInput = try configuration.scalesInput(linear.path)
      let shape = scalesInput ? [1, linear.inputSize] : [linear.outputSize, 1]
      let name = "base_model.model.\(linear.path).ia3_l"
      vectors[linear.path] = Vector(site: parameters.count, scalesInput: scalesInput)
      parameters.append(Parameter(name, values(name, shape) ?? Self.ones(shape)))
    }
    self.parameters = parameters
    self.vectors = vectors
  }

  private static func ones(_ shape: [Int]) -> Tensor {
    let tensor = Tensor(zeros: shape)
    tensor.fill(1)
    return tensor
  }

  // MARK: The method

  public func seams(_ sites: [Variable]) -> any Seams { IA3Seams(vectors: vectors, sites: sites) }

  private struct IA3Seams: Seams {
    let vectors: [String: Vector]
    let sites: [Variable]

    func adapts(_ layer: Linear) -> Bool { vectors[layer.path] != nil }

    func linear(_ layer: Linear, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable? {
      guard let vector = vectors[layer.path] else { return nil }
      let factors = sites[vector.site]
      return vector.scalesInput
        ? layer.unadapted(pass.tape.columnScaled(x, by: factors), pass)
        : pass.tape.columnScaled(layer.unadapted(x, pass), by: factors)
    }
  }

  // MARK: Merging

  public func mergedTensors(_ model: any LanguageModel, direction: MergeDirection) throws -> [String: Tensor] {
    var merged: [String: Tensor] = [:]
    for linear in model.description.linears {
      guard let vector = vectors[linear.path] else { continue }
      let factors = try factors(vector, direction)
      let weight = linear.weight.value.copy()
      for row in 0..<weight.rows {
        for column in 0..<weight.width {
          let output = linear.layout == .outputByInput ? row : column
          let input = linear.layout == .outputByInput ? column : row
          weight.pointer[row * weight.width + column] *= factors[vector.scalesInput ? input : output]
        }
      }
      merged[linear.weight.name] = weight
      if let bias = linear.bias, !vector.scalesInput {
        merged[bias.name] = Tensor(zip(bias.value.values, factors).map { $0 * $1 }, shape: bias.shape)
      }
    }
    return merged
  }

  private func factors(_ vector: Vector, _ direction: MergeDirection) throws -> [Float] {
    let values = parameters[vector.site].value.values
    guard direction == .unmerge else { return values }
    guard !values.contains(0) else {
      throw MethodError.cannotMerge(
        method: name, reason: "\(parameters[vector.site].name) has a zero: what it removed cannot be brought back")
    }
    return values.map { 1 / $0 }
  }

  // MARK: HF PEFT

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    let config: JSON = [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseModelName),
      "exclude_modules": configuration.excludedModules?.json ?? nil,
      "fan_in_fan_out": .bool(model.fanInFanOut), "feedforward_modules": configuration.feedForwardModules.json,
      "inference_mode": true,
      "init_ia3_weights": true, "modules_to_save": nil, "peft_type": "IA3", "revision": nil,
      "target_modules": configuration.targetModules.json, "task_type": .string(model.kind.rawValue),
    ]
    return AdapterFiles(
      config: config, tensors: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) }))
  }

  static let entry = MethodEntry(
    name: "ia3", peftType: "IA3", defaultLearningRate: 3e-2,
    make: { options, model, _ in
      try IA3(IA3Configuration(options, model.description), model, values: { _, _ in nil })
    },
    read: { folder, model in
      let weights = folder.weights()
      let method = try IA3(
        IA3Configuration(folder.config, model.description), model, values: { weights.scope().tensor($0, $1) })
      try weights.finish()
      return method
    })
}
