import Checkpoints
import Training

/// PyTorch's and transformers' optimizers and schedules under this program's names.
enum ReferenceOptimizer {
  /// - Throws: `NotSupported` for a type without a counterpart; `CheckpointError` for options of another kind.
  static func configuration(type: String, _ options: JSONObject) throws -> OptimizerConfiguration {
    let kinds: [String: OptimizerConfiguration.Kind] = [
      "AdamW": .adamw, "Adam": .adam, "SGD": .sgd, "Adafactor": .adafactor,
    ]
    guard let kind = kinds[type] else { throw NotSupported(reason: "optimizer \(type)") }
    var result = OptimizerConfiguration(
      kind: kind, weightDecay: try options.optionalDouble("weight_decay") ?? 0)
    if let betas = try options.optionalDoubles("betas") {
      guard betas.count == 2 else { throw options.error("betas", expected: "two numbers") }
      (result.beta1, result.beta2) = (betas[0], betas[1])
    }
    result.momentum = try options.optionalDouble("momentum") ?? 0
    result.dampening = try options.optionalDouble("dampening") ?? 0
    result.nesterov = try options.optionalBool("nesterov") ?? false
    if kind == .adafactor {
      result.adafactor = try adafactor(options)
    } else if let epsilon = try options.optionalDouble("eps") {
      result.epsilon = epsilon
    }
    try result.validate()
    return result
  }

  private static func adafactor(_ options: JSONObject) throws -> OptimizerConfiguration.Adafactor {
    var result = OptimizerConfiguration.Adafactor()
    result.relativeStep = try options.bool("relative_step")
    result.scaleParameter = try options.bool("scale_parameter")
    result.warmupInit = try options.bool("warmup_init")
    result.clipThreshold = try options.optionalDouble("clip_threshold") ?? result.clipThreshold
    result.decayRate = try options.optionalDouble("decay_rate") ?? result.decayRate
    result.beta1 = try options.optionalDouble("beta1")
    if let epsilons = try options.optionalDoubles("eps") {
      guard epsilons.count == 2 else { throw options.error("eps", expected: "two numbers") }
      (result.epsilon1, result.epsilon2) = (epsilons[0], epsilons[1])
    }
    return result
  }

  /// The schedule of a case's `optimizer`.
  static func schedule(_ optimizer: JSONObject) throws -> Schedule {
    let name = try optimizer.string("schedule")
    func count(_ key: String) throws -> Int {
      optimizer[key] == nil ? 0 : try optimizer.int(key, in: 0...1 << 40)
    }
    do {
      return try Schedule(
        named: name, warmupSteps: count("num_warmup_steps"), totalSteps: count("num_training_steps"))
    } catch is OptimizerError {
      throw NotSupported(reason: "schedule \(name)")
    }
  }
}
