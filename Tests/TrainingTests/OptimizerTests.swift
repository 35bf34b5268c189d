import Checkpoints
import Foundation
import TensorCore
import Testing

@testable import Training

/// Every optimizer against ten updates of the reference, and its state through a checkpoint.
@Suite struct OptimizerTests {
  static let names = [
    "adamw", "adamw_b", "adam_l2", "sgd", "sgd_momentum", "sgd_momentum_wd", "sgd_dampening", "sgd_nesterov",
    "adafactor_fixed_lr", "adafactor_fixed_lr_wd", "adafactor_relative", "adafactor_relative_warmup",
    "adafactor_beta1",
  ]

  @Test func everyTraceIsTested() throws {
    let traces = try OptimizerGoldens.decode(OptimizerGoldens.Traces.self, from: "optim.json")
    #expect(traces.optimizers.keys.sorted() == Self.names.sorted())
  }

  @Test(arguments: names) func followsTheReference(name: String) throws {
    let traces = try OptimizerGoldens.decode(OptimizerGoldens.Traces.self, from: "optim.json")
    let run = try Run(name: name, traces: traces)
    for step in 0..<traces.steps {
      try run.update(step)
      for (index, tensor) in OptimizerGoldens.tensorNames.enumerated() {
        let expected = try run.golden.tensor("\(name)/\(tensor)").rows(step..<(step + 1)).values
        #expect(expected.count == run.parameters[index].count)
        for (element, (got, wanted)) in zip(run.parameters[index].values, expected).enumerated() {
          let tolerance = traces.absoluteTolerance + traces.relativeTolerance * Double(abs(wanted))
          #expect(
            abs(Double(got) - Double(wanted)) <= tolerance,
            "\(tensor)[\(element)] after step \(step): \(got), \(wanted)")
        }
      }
    }
    #expect(run.optimizer.updateCount == traces.steps)
  }

  @Test(arguments: names) func aRestoredOptimizerGoesOnBitForBit(name: String) throws {
    let traces = try OptimizerGoldens.decode(OptimizerGoldens.Traces.self, from: "optim.json")
    let whole = try Run(name: name, traces: traces), first = try Run(name: name, traces: traces)
    for step in 0..<traces.steps { try whole.update(step) }
    for step in 0..<4 { try first.update(step) }
    let second = try Run(name: name, traces: traces)
    for (tensor, saved) in zip(second.parameters, first.parameters) { tensor.copyElements(from: saved) }
    let saved = Dictionary(uniqueKeysWithValues: first.optimizer.state.map { ($0.name, $0.tensor.copy()) })
    try second.optimizer.restore(updateCount: first.optimizer.updateCount, state: saved)
    for step in 4..<traces.steps { try second.update(step) }
    #expect(
      second.parameters.map { $0.values.map(\.bitPattern) }
        == whole.parameters.map { $0.values.map(\.bitPattern) })
    #expect(second.optimizer.state.map(\.name) == whole.optimizer.state.map(\.name))
    for (got, wanted) in zip(second.optimizer.state, whole.optimizer.state) {
      #expect(got.tensor.values.map(\.bitPattern) == wanted.tensor.values.map(\.bitPattern), "\(got.name)")
    }
  }

  @Test func refusesStateOfAnotherRun() throws {
    let optimizer = makeOptimizer(OptimizerConfiguration(), shapes: [[2, 3]], weightDecays: [0])
    let good = Dictionary(
      uniqueKeysWithValues: optimizer.state.map { ($0.name, Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])) })
    var missing = good, unknown = good, reshaped = good
    missing["exp_avg_sq/0"] = nil
    unknown["exp_avg/1"] = Tensor(zeros: [1])
    reshaped["exp_avg/0"] = Tensor(zeros: [3, 2])
    #expect(throws: OptimizerError.missingState(name: "exp_avg_sq/0")) {
      try optimizer.restore(updateCount: 3, state: missing)
    }
    #expect(throws: OptimizerError.unknownState(name: "exp_avg/1", expected: ["exp_avg/0", "exp_avg_sq/0"])) {
      try optimizer.restore(updateCount: 3, state: unknown)
    }
    #expect(throws: OptimizerError.wrongShape(name: "exp_avg/0", expected: [2, 3], found: [3, 2])) {
      try optimizer.restore(updateCount: 3, state: reshaped)
    }
    #expect(
      optimizer.updateCount == 0 && optimizer.state.allSatisfy { $0.tensor.values == [0, 0, 0, 0, 0, 0] })
    try optimizer.restore(updateCount: 3, state: good)
    #expect(
      optimizer.updateCount == 3 && optimizer.state.allSatisfy { $0.tensor.values == [1, 2, 3, 4, 5, 6] })
  }

  @Test func ratesAndDecaysBelongToTensors() {
    let optimizer = makeOptimizer(
      OptimizerConfiguration(kind: .sgd), shapes: [[2], [2]], weightDecays: [0.5, 0])
    let parameters = [Tensor([4, 8], shape: [2]), Tensor([4, 8], shape: [2])]
    let gradients = [Tensor([1, 2], shape: [2]), Tensor([1, 2], shape: [2])]
    optimizer.update(parameters: parameters, gradients: gradients, rates: [0.5, 0.25])
    #expect(parameters[0].values == [2.5, 5])  // 4 - 0.5 (1 + 0.5 * 4), 8 - 0.5 (2 + 0.5 * 8)
    #expect(parameters[1].values == [3.75, 7.5])
    #expect(gradients.map(\.values) == [[1, 2], [1, 2]])
  }

  @Test func badOptionsAreNamed() throws {
    try OptimizerConfiguration().validate()
    var beta = OptimizerConfiguration()
    beta.beta2 = 1
    #expect(throws: OptimizerError.badOption(name: "beta2", expected: "0 <= beta2 < 1", found: "1.0")) {
      try beta.validate()
    }
    var nesterov = OptimizerConfiguration(kind: .sgd)
    nesterov.nesterov = true
    #expect(throws: OptimizerError.self) { try nesterov.validate() }
    nesterov.momentum = 0.9
    try nesterov.validate()
    var warmup = OptimizerConfiguration(kind: .adafactor)
    warmup.adafactor.warmupInit = true
    #expect(throws: OptimizerError.self) { try warmup.validate() }
    let copy = try JSONDecoder().decode(OptimizerConfiguration.self, from: JSONEncoder().encode(nesterov))
    #expect(copy == nesterov)
  }
}

/// One optimizer over the four golden tensors.
private struct Run {
  let golden: SafetensorsFile
  let parameters: [Tensor]
  let optimizer: any Optimizer
  private let gradients: [Tensor]
  private let rate: Float

  init(name: String, traces: OptimizerGoldens.Traces) throws {
    let file = try OptimizerGoldens.tensors()
    let trace = try #require(traces.optimizers[name])
    golden = file
    parameters = try OptimizerGoldens.tensorNames.map { try file.tensor("init/\($0)").copy() }
    gradients = try OptimizerGoldens.tensorNames.map { try file.tensor("grads/\($0)") }
    rate = Float(trace.args.lr ?? 0)
    let configuration = try trace.configuration()
    try configuration.validate()
    optimizer = makeOptimizer(
      configuration, shapes: parameters.map(\.shape),
      weightDecays: parameters.map { _ in Float(configuration.weightDecay) })
  }

  func update(_ step: Int) throws {
    optimizer.update(
      parameters: parameters,
      gradients: zip(gradients, parameters).map { $0.rows(step..<(step + 1)).reshaped($1.shape) },
      rates: parameters.map { _ in rate })
  }
}

extension OptimizerGoldens.Trace {
  /// PyTorch's and transformers' options under our names.
  fileprivate func configuration() throws -> OptimizerConfiguration {
    let kinds: [String: OptimizerConfiguration.Kind] = [
      "AdamW": .adamw, "Adam": .adam, "SGD": .sgd, "Adafactor": .adafactor,
    ]
    var result = OptimizerConfiguration(kind: try #require(kinds[type]), weightDecay: args.weight_decay ?? 0)
    if let betas = args.betas { (result.beta1, result.beta2) = (betas[0], betas[1]) }
    result.momentum = args.momentum ?? 0
    result.dampening = args.dampening ?? 0
    result.nesterov = args.nesterov ?? false
    let epsilons = args.eps?.values ?? []
    if epsilons.count == 1 { result.epsilon = epsilons[0] }
    guard result.kind == .adafactor else { return result }
    result.adafactor.relativeStep = try #require(args.relative_step)
    result.adafactor.scaleParameter = try #require(args.scale_parameter)
    result.adafactor.warmupInit = try #require(args.warmup_init)
    result.adafactor.clipThreshold = try #require(args.clip_threshold)
    result.adafactor.decayRate = try #require(args.decay_rate)
    result.adafactor.beta1 = args.beta1
    try #require(epsilons.count == 2)
    (result.adafactor.epsilon1, result.adafactor.epsilon2) = (epsilons[0], epsilons[1])
    return result
  }
}
