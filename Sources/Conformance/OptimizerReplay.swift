import Checkpoints
import Foundation
import TensorCore
import Training

/// Replays `optim/`: update rules, clipping, schedules and dynamic loss scaling.
enum OptimizerReplay {
  static func reports(_ folder: URL) throws -> [CaseReport] {
    var reports: [CaseReport] = []
    func file(_ name: String) -> URL? {
      let url = folder.appendingPathComponent(name)
      return ReferenceRoot.exists(url) ? url : nil
    }
    if let url = file("optim.json") {
      reports += try traces(url, folder.appendingPathComponent("optim.safetensors"))
    }
    if let url = file("clip.json") {
      reports += try clipping(url, folder.appendingPathComponent("clip.safetensors"))
    }
    if let url = file("schedules.json") { reports += try schedules(url) }
    if let url = file("gradscaler.json") { reports += try lossScaling(url) }
    return reports
  }

  // MARK: Update rules

  private static func traces(_ url: URL, _ tensorURL: URL) throws -> [CaseReport] {
    let json = try JSONObject(file: url)
    let tensors = try SafetensorsFile(tensorURL)
    let steps = try json.int("steps", in: 1...100_000)
    let names = try json.object("tensors").members.keys.sorted()
    let tolerance = Tolerance(
      absolute: try json.optionalDouble("tolerance_atol") ?? 2e-5,
      relative: try json.optionalDouble("tolerance_rtol") ?? 1e-5)
    let optimizers = try json.object("optimizers")
    return optimizers.members.keys.sorted().map { optimizer in
      CaseReport("optim/\(optimizer)") {
        try trace(optimizer, optimizers.object(optimizer), tensors, names: names, steps: steps, tolerance)
      }
    }
  }

  private static func trace(
    _ optimizer: String, _ json: JSONObject, _ tensors: SafetensorsFile, names: [String], steps: Int,
    _ tolerance: Tolerance
  ) throws -> [Finding] {
    let arguments = try json.object("args")
    let configuration = try ReferenceOptimizer.configuration(type: json.string("type"), arguments)
    let rate = Float(try arguments.optionalDouble("lr") ?? 0)
    let parameters = try names.map { try tensors.tensor("init/\($0)").copy() }
    let gradients = try zip(names, parameters).map { try series("grads/\($0)", of: $1.shape, steps, tensors) }
    let expected = try zip(names, parameters).map {
      try series("\(optimizer)/\($0)", of: $1.shape, steps, tensors)
    }
    let rule = makeOptimizer(
      configuration, shapes: parameters.map(\.shape),
      weightDecays: parameters.map { _ in Float(configuration.weightDecay) })
    var findings = names.map { Finding($0, tolerance) }
    for step in 0..<steps {
      rule.update(
        parameters: parameters,
        gradients: zip(gradients, parameters).map { $0.rows(step..<step + 1).reshaped($1.shape) },
        rates: parameters.map { _ in rate })
      for index in names.indices {
        findings[index].compare(
          parameters[index], expected[index].rows(step..<step + 1).reshaped(parameters[index].shape),
          at: "update \(step)")
      }
    }
    return findings
  }

  /// A tensor `[steps] + shape`.
  private static func series(
    _ name: String, of shape: [Int], _ steps: Int, _ tensors: SafetensorsFile
  ) throws -> Tensor {
    let tensor = try tensors.tensor(name)
    guard tensor.shape == [steps] + shape else {
      throw ConformanceError.badInputs(
        file: tensors.path, reason: "\(name): expected shape \([steps] + shape), found \(tensor.shape)")
    }
    return tensor
  }

  // MARK: Clipping

  private static func clipping(_ url: URL, _ tensorURL: URL) throws -> [CaseReport] {
    let tensors = try SafetensorsFile(tensorURL)
    let names = tensors.names.filter { $0.hasPrefix("grad/") }.map { String($0.dropFirst("grad/".count)) }
    return try JSONObject.list(file: url).map { json in
      let maxNorm = try json.double("max_norm")
      return CaseReport("optim/clip \(maxNorm)") {
        guard maxNorm > 0 else { throw json.error("max_norm", expected: "a positive number") }
        let gradients = try names.map { try tensors.tensor("grad/\($0)").copy() }
        var norm = Finding("norm", Tolerance(relative: 1e-6))
        let found = GradientClipping.globalNorm(gradients)
        norm.compare(found, try json.double("total_norm"), at: "norm")
        var clipped = Finding("clipped", Tolerance(absolute: 1e-7, relative: 1e-5))
        guard found.isFinite else { return [norm] }
        GradientClipping.clip(gradients, maxNorm: maxNorm, norm: found)
        for (name, gradient) in zip(names, gradients) {
          clipped.compare(gradient, try tensors.tensor("clipped_\(maxNorm)/\(name)"), at: name)
        }
        return [norm, clipped]
      }
    }
  }

  // MARK: Schedules

  private static func schedules(_ url: URL) throws -> [CaseReport] {
    let json = try JSONObject(file: url)
    let (base, warmup) = (try json.double("base_lr"), try json.int("num_warmup_steps", in: 0...1 << 40))
    let rates = try json.object("lr")
    return rates.members.keys.sorted().map { name in
      CaseReport("optim/schedule \(name)") {
        let total = try json.int("num_training_steps", in: 0...1 << 40)
        let expected = try rates.doubles(name)
        // The files do not say where the polynomial ends; it stays there after the last step.
        let schedule = try schedule(name, end: (expected.last ?? 0) / base, warmup: warmup, total: total)
        var finding = Finding("lr", Tolerance(relative: 1e-9))
        for (step, expected) in expected.enumerated() {
          finding.compare(base * schedule.factor(step: step), expected, at: "step \(step)")
        }
        return [finding]
      }
    }
  }

  /// The calls of transformers' schedule functions that the names stand for.
  private static func schedule(_ name: String, end: Double, warmup: Int, total: Int) throws -> Schedule {
    switch name {
    case "constant": .constant
    case "constant_with_warmup": .constantWithWarmup(warmupSteps: warmup)
    case "linear_warmup": .linear(warmupSteps: warmup, totalSteps: total)
    case "linear_nowarmup": .linear(warmupSteps: 0, totalSteps: total)
    case "cosine_warmup": .cosine(warmupSteps: warmup, totalSteps: total)
    case "cosine_half_cycles_1.5": .cosine(warmupSteps: warmup, totalSteps: total, cycles: 1.5)
    case "cosine_hard_restarts_3": .cosineWithRestarts(warmupSteps: warmup, totalSteps: total, cycles: 3)
    case "polynomial_p2": .polynomial(warmupSteps: warmup, totalSteps: total, power: 2, end: end)
    case "inverse_sqrt": .inverseSquareRoot(warmupSteps: warmup)
    case "inverse_sqrt_timescale100": .inverseSquareRoot(warmupSteps: warmup, timeScale: 100)
    default: throw NotSupported(reason: "schedule \(name)")
    }
  }

  // MARK: Loss scaling

  private static func lossScaling(_ url: URL) throws -> [CaseReport] {
    try JSONObject.list(file: url).map { json in
      CaseReport("optim/gradscaler \(try json.string("name"))") { try lossScaling(json) }
    }
  }

  private static func lossScaling(_ json: JSONObject) throws -> [Finding] {
    let interval = try json.int("growth_interval", in: 1...(1 << 30))
    let (growth, backoff) = (try json.double("growth_factor"), try json.double("backoff_factor"))
    let initial = Float(try json.double("init_scale"))
    guard growth > 1, backoff < 1, initial > 0 else {
      throw json.error("growth_factor", expected: "scale > 0, growth > 1, backoff < 1")
    }
    var scaler = LossScaler(
      scale: initial, growthFactor: growth, backoffFactor: backoff, growthInterval: interval)
    var parameter = 1.0
    var (used, scale, tracker) = (Finding("scale used"), Finding("scale"), Finding("tracker"))
    // The reference unscales in fp32, which is not exact where the scale is no power of two.
    var steps = Finding("parameter", Tolerance(absolute: 1e-6))
    for (index, step) in try json.objects("steps").enumerated() {
      if let expected = try step.optionalDouble("scale_used") {
        used.compare(exactly: Double(scaler.scale), expected, at: "step \(index)")
      }
      let isNonFinite = try step.int("found_inf") != 0
      scaler.update(foundNonFinite: isNonFinite)
      scale.compare(exactly: Double(scaler.scale), try step.double("scale_after"), at: "step \(index)")
      tracker.compare(
        exactly: scaler.growthTracker, try step.int("growth_tracker_after"), at: "step \(index)")
      if let expected = try step.optionalDouble("param_after") {
        if !isNonFinite { parameter -= try json.double("lr") * json.double("true_grad") }
        steps.compare(parameter, expected, at: "step \(index)")
      }
    }
    return [scale, tracker] + [used, steps].filter { $0.comparedCount > 0 }
  }
}
