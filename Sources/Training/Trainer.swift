import Autograd
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import NN
import Tasks
import TensorCore
import Tokenization

/// The training loop: leaves, exact gradient, clip, update; and at the steps that call for it evaluation and saving.
///
/// Every rank runs the same loop on the same numbers. Rank 0 is the coordinator besides: it alone has a `RunFolder`.
@MainActor
public final class Trainer {
  /// How a run ended.
  public enum Ending: Equatable {
    case finished
    /// A signal asked for it; the state after the last step is saved.
    case stopped(step: Int)
  }

  private let configuration: RunConfiguration
  private let engine: GradientEngine
  private let evaluation: Evaluation
  private let planner: StepPlanner
  private let validation: EvaluationSet?
  private let metric: TaskMetric
  private let optimizer: any Optimizer
  private let identity: NumericIdentity
  private let world: World?
  private let folder: RunFolder?
  private let archive: StateArchive
  private var state = TrainingState()
  private var best: [Tensor]?
  private var lastReport: EvaluationReport?

  private var method: any PEFTMethod { engine.evaluator.method }

  /// - Parameter folder: on rank 0 only.
  public init(
    configuration: RunConfiguration, engine: GradientEngine, evaluation: Evaluation, planner: StepPlanner,
    validation: EvaluationSet?, metric: TaskMetric, identity: NumericIdentity, folder: RunFolder?
  ) {
    self.configuration = configuration
    self.engine = engine
    self.evaluation = evaluation
    self.planner = planner
    self.validation = validation
    self.metric = metric
    self.identity = identity
    self.folder = folder
    world = engine.world
    let parameters = engine.evaluator.method.parameters
    optimizer = makeOptimizer(
      configuration.optimizer, shapes: parameters.map(\.shape),
      weightDecays: parameters.map { _ in Float(configuration.optimizer.weightDecay) })
    archive = StateArchive(
      method: engine.evaluator.method, optimizer: optimizer, sum: engine.sum, configuration: configuration,
      identity: identity)
  }

  /// Steps done so far.
  public var step: Int { state.step }
  /// Step and value of the best evaluation.
  public var bestEvaluation: (step: Int, value: Double)? { state.best.map { ($0.step, $0.value) } }

  /// Takes up the newest checkpoint that verifies; says so, and where there is none starts at step 0.
  public func resume() throws {
    let received = try world.map { world in try world.broadcastCheckpoint { try newestCheckpoint() } } ?? alone()
    guard let received else {
      RunLog.notice("no usable checkpoint in the output folder; starting at step 0")
      return
    }
    (state, best) = try archive.restore(received.members, tensors: received.tensors, path: received.path)
    RunLog.notice("resuming after step \(state.step) from \(received.path)")
  }

  private func newestCheckpoint() throws -> Checkpoint? {
    guard let folder else { return nil }
    let (checkpoint, warnings) = try folder.checkpoints.newestValid()
    for warning in warnings { RunLog.warning(warning) }
    return checkpoint
  }

  private func alone() throws -> (members: JSONObject, tensors: [String: Tensor], path: String)? {
    guard let checkpoint = try newestCheckpoint() else { return nil }
    let tensors = try checkpoint.tensors.names.map { ($0, try checkpoint.tensors.tensor($0)) }
    return (checkpoint.state, Dictionary(uniqueKeysWithValues: tensors), checkpoint.url.path)
  }

  // MARK: The loop

  public func run() throws -> Ending {
    try folder?.openMetrics(keepingUpTo: state.step)
    let progress = ProgressBar(name: "step", total: configuration.totalSteps, firstStep: state.step)
    while state.step < configuration.totalSteps {
      let watch = Stopwatch()
      let plan = planner.plan(step: state.step)
      let (loss, norm, rate, stops) = try update(plan)
      let speed = Double(plan.sourceTokenCount) / watch.seconds
      progress.update(step: state.step, loss: loss, tokensPerSecond: speed)
      if state.step % configuration.logEvery == 0 || state.step == configuration.totalSteps {
        try folder?.log([
          "step": .integer(state.step), "epoch": .double(Double(state.step) / Double(planner.stepsPerEpoch)),
          "loss": .double(loss), "learning_rate": .double(rate), "grad_norm": .double(norm), "loss_scale": 1.0,
          "source_tokens_per_second": .double((speed * 10).rounded() / 10),
        ])
      }
      if isDue(configuration.evalEvery) { try evaluate() }
      if stops || isDue(configuration.saveEvery) { try save() }
      if stops {
        progress.finish()
        return .stopped(step: state.step)
      }
    }
    progress.finish()
    return .finished
  }

  private func isDue(_ interval: Int?) -> Bool {
    RunConfiguration.isDue(
      interval, step: state.step, stepsPerEpoch: planner.stepsPerEpoch, totalSteps: configuration.totalSteps)
  }

  /// One optimizer step: mean loss over the global batch's targets, gradient norm, rate, and whether some rank was asked
  /// to stop.
  private func update(_ plan: StepPlan) throws -> (loss: Double, norm: Double, rate: Double, stops: Bool) {
    let targets = Double(max(plan.targetCount, 1))
    let outcome = try engine.compute(
      leaves: plan.leaves, gradientScale: Float(1 / targets),
      dropout: DropoutPolicy(rate: configuration.dropout, seed: configuration.seed, step: state.step))
    guard case .done(let lossSum) = outcome else {
      throw TrainingError.nonFinite(step: state.step + 1, examples: try engine.nonFiniteLeaves())
    }
    let norm = GradientClipping.globalNorm(engine.gradients)
    if let limit = configuration.maxGradNorm { GradientClipping.clip(engine.gradients, maxNorm: limit, norm: norm) }
    let rate = configuration.learningRate * configuration.schedule.factor(step: state.scheduleStep)
    optimizer.update(
      parameters: method.parameters.map(\.value), gradients: engine.gradients,
      rates: method.parameters.map { _ in Float(rate) })
    state.step += 1
    state.scheduleStep += 1
    return (lossSum / targets, norm, rate, engine.stopRequested)
  }

  private func evaluate() throws {
    guard let validation, lastReportStep != state.step else { return }
    let report = try evaluation.evaluate(validation)
    lastReport = report
    lastReportStep = state.step
    var members: [String: JSON] = [
      "step": .integer(state.step), "eval_loss": .finite(report.loss), "eval_examples": .integer(report.exampleCount),
      "eval_seconds": .double((report.seconds * 1000).rounded() / 1000),
    ]
    for (name, value) in report.metrics { members["eval_\(name)"] = .finite(value) }
    try folder?.log(members)
    RunLog.notice("step \(state.step): validation \(report.summary) (\(report.exampleCount) examples)")
    guard let value = report.value(of: metric.name), value.isFinite else { return }
    let isBetter = state.best.map { metric.largerIsBetter ? value > $0.value : value < $0.value } ?? true
    guard isBetter else { return }
    state.best = .init(step: state.step, value: value)
    best = method.parameters.map { $0.value.copy() }
  }
  private var lastReportStep: Int?

  private func save() throws {
    try folder?.checkpoints.save(
      step: state.step, tensors: archive.tensors(best: best), state: archive.members(state),
      keep: configuration.keepCheckpoints)
  }

  /// Puts the best parameters in place: those the adapter is written from and the test is run with. Without an evaluation
  /// they are the last ones.
  public func takeBest() {
    guard let best else { return }
    for (parameter, value) in zip(method.parameters, best) { parameter.value.copyElements(from: value) }
  }
}

extension JSON {
  /// A number JSON can hold, or null.
  static func finite(_ value: Double) -> JSON { value.isFinite ? .double(value) : .null }
}
