import CKernels
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
    /// A signal asked for it; the state after this step is saved.
    case stopped(step: Int)
    /// The step to run to is reached, and its state saved; the run goes on from there with `resume`.
    case paused
  }

  let configuration: RunConfiguration
  let engine: GradientEngine
  private let evaluation: Evaluation
  let planner: StepPlanner
  private let validation: EvaluationSet?
  private let metric: TaskMetric
  private let optimizer: any Optimizer
  let world: World?
  let folder: RunFolder?
  let archive: StateArchive
  var state: TrainingState
  var best: [Tensor]?
  /// The step whose state was last handed to the writer.
  var submittedStep: Int?
  /// Step and value of the last evaluation of this process.
  private var lastEvaluation: (step: Int, value: Double)?
  private let faults: FaultInjection

  var method: any PEFTMethod { engine.evaluator.method }

  /// - Parameter folder: on rank 0 only.
  /// - Throws: `FaultInjection.Unknown`.
  public init(
    configuration: RunConfiguration, engine: GradientEngine, evaluation: Evaluation, planner: StepPlanner,
    validation: EvaluationSet?, metric: TaskMetric, identity: NumericIdentity, folder: RunFolder?
  ) throws {
    faults = try FaultInjection()
    self.configuration = configuration
    self.engine = engine
    self.evaluation = evaluation
    self.planner = planner
    self.validation = validation
    self.metric = metric
    self.folder = folder
    world = engine.world
    state = TrainingState(lossScaling: configuration.lossScaling)
    let parameters = engine.evaluator.method.parameters
    optimizer = makeOptimizer(
      configuration.optimizer, shapes: parameters.map(\.shape),
      weightDecays: parameters.map { _ in Float(configuration.optimizer.weightDecay) })
    archive = StateArchive(
      method: engine.evaluator.method, optimizer: optimizer, sum: engine.sum, configuration: configuration,
      identity: identity)
  }

  /// From now on what frozen layers give is kept.
  public func use(_ cache: ActivationCache) { engine.use(cache) }

  /// What the cache has been of use for so far, over all ranks; nil if this node keeps nothing. Every rank must
  /// ask.
  public func cacheUse() throws -> (bytes: Int, examples: Int, hits: Int, misses: Int)? {
    let cache = engine.evaluator.frozen?.cache.flatMap { $0.exampleCount > 0 ? $0 : nil }
    var counts = [cache?.hitCount ?? 0, cache?.missCount ?? 0].map { Int64($0) }
    try world?.reduce(&counts, .sum)
    return cache.map { ($0.byteCount, $0.exampleCount, Int(counts[0]), Int(counts[1])) }
  }

  /// Seconds of rank 0's main thread by stage.
  public var stageSeconds: [StageClock.Stage: Double] { engine.stages.seconds }
  /// Steps done so far.
  public var step: Int { state.step }
  /// Step and value of the best evaluation.
  public var bestEvaluation: (step: Int, value: Double)? { state.best.map { ($0.step, $0.value) } }
  public var stepsPerEpoch: Int { planner.stepsPerEpoch }
  /// Wall time of all steps so far, those before a resume included; without evaluation and saving.
  public var trainingSeconds: Double { state.trainingSeconds }

  // MARK: The loop

  /// - Parameter limit: pause after this step, if the run is longer.
  ///
  /// What was handed to the writing thread before an error is on the disk when that is thrown.
  public func run(until limit: Int = .max) throws -> Ending {
    StopRequest.handle()
    do { return try trainSteps(until: limit) } catch {
      _ = folder?.finishWriting()
      throw error
    }
  }

  private func trainSteps(until limit: Int) throws -> Ending {
    // A run that begins says all again, the evaluation before the first step too.
    try folder?.openLogs(keepingUpTo: state.step > 0 ? state.step : -1, parameters: method.parameters)
    let progress = ProgressBar(name: "step", total: configuration.totalSteps, firstStep: state.step)
    defer { progress.finish() }
    if state.step == 0, configuration.evaluatesOnStart, try !evaluate() { return try stop() }
    // A run that was stopped while it evaluated does so first.
    if state.step > 0, isDue(configuration.evalEvery), try !evaluate() { return try stop() }
    while state.step < min(limit, configuration.totalSteps) {
      PhaseBoard.enter("step \(state.step + 1)")
      let watch = Stopwatch()
      let plan = planner.plan(step: state.step)
      guard let result = try update(plan, onPoll: saveOnRequest) else { return try stop() }
      let speed = Double(plan.sourceTokenCount) / watch.seconds
      progress.update(step: state.step, loss: result.loss, tokensPerSecond: speed)
      try engine.stages.measure(.digests) { try recordDigests(loss: result.loss) }
      state.trainingSeconds += watch.seconds
      if state.step % configuration.logEvery == 0 || state.step == configuration.totalSteps {
        engine.stages.measure(.saving) { log(result, tokensPerSecond: speed) }
      }
      if isDue(configuration.evalEvery), try !evaluate() { return try stop() }
      if isDue(configuration.saveEvery) { try engine.stages.measure(.saving) { try save() } }
      if engine.stopRequested { return try stop() }
    }
    guard state.step == configuration.totalSteps else { return try pause() }
    return .finished
  }

  private func isDue(_ interval: Int?) -> Bool {
    RunConfiguration.isDue(
      interval, step: state.step, stepsPerEpoch: planner.stepsPerEpoch, totalSteps: configuration.totalSteps)
  }

  struct StepResult {
    /// Mean over the targets of the global batch; NaN in a step that was skipped.
    var loss: Double
    var norm: Double
    var rate: Double
    /// What the loss was multiplied by.
    var lossScale: Float
    var isSkipped = false
  }

  /// One optimizer step, or one that is skipped; nil if a signal broke it off, which leaves the state as it was.
  func update(_ plan: StepPlan, onPoll: () throws -> Void = {}) throws -> StepResult? {
    try injectFaults()
    let targets = Double(max(plan.targetCount, 1))
    let scale = faults.strikes(.nan, rank: world?.rank ?? 0, step: state.step + 1) ? Float.nan : Float(1 / targets)
    let lossScale = lossScale
    let outcome = try engine.compute(
      leaves: plan.leaves, gradientScale: scale, lossScale: lossScale,
      dropout: DropoutPolicy(rates: configuration.dropout, seed: configuration.seed, step: state.step),
      onPoll: onPoll)
    let rate = configuration.learningRate * configuration.schedule.factor(step: state.scheduleStep)
    switch outcome {
    case .stopped:
      return nil
    case .nonFinite:
      return try skip(rate: rate)
    case .done(let lossSum):
      let norm = engine.stages.measure(.update) { GradientClipping.globalNorm(engine.gradients) }
      // Finite leaves may add up to an infinite sum.
      guard norm.isFinite else { return try skip(rate: rate) }
      engine.stages.measure(.update) {
        if let limit = configuration.maxGradNorm { GradientClipping.clip(engine.gradients, maxNorm: limit, norm: norm) }
        optimizer.update(
          parameters: method.parameters.map(\.value), gradients: engine.gradients,
          rates: method.learningRateFactors.map { Float(rate * $0) })
      }
      let diverged = engine.stages.measure(.update) {
        method.parameters.filter { k_all_finite($0.value.pointer, $0.value.count) == 0 }.map(\.name)
      }
      guard diverged.isEmpty else {
        throw TrainingError.diverged(step: state.step + 1, rate: rate, parameters: diverged)
      }
      state.step += 1
      state.scheduleStep += 1
      state.lossScaler?.update(foundNonFinite: false)
      return StepResult(loss: lossSum / targets, norm: norm, rate: rate, lossScale: lossScale)
    }
  }

  /// Passes over the data until now.
  private var epoch: Double { Double(state.step) / Double(planner.stepsPerEpoch) }

  private func log(_ result: StepResult, tokensPerSecond: Double) {
    var members: [String: JSON] = [
      "step": .integer(state.step), "epoch": .double(epoch),
      "loss": .finite(result.loss), "learning_rate": .double(result.rate), "grad_norm": .finite(result.norm),
      "loss_scale": .double(Double(result.lossScale)),
      "source_tokens_per_second": .double((tokensPerSecond * 10).rounded() / 10),
    ]
    if result.isSkipped { members["skipped"] = true }
    folder?.logMetrics(members)
  }

  /// - Returns: false if a signal broke it off.
  private func evaluate() throws -> Bool {
    guard let validation, state.evaluatedStep != state.step else { return true }
    PhaseBoard.enter("evaluating after step \(state.step)")
    guard
      let report = try engine.stages.measure(
        .evaluation, { try evaluation.evaluate(validation, writesAnswers: metric.needsAnswers, onPoll: saveOnRequest) })
    else {
      return false
    }
    state.evaluatedStep = state.step
    // What was saved meanwhile does not know it.
    submittedStep = nil
    var members: [String: JSON] = [
      "step": .integer(state.step), "epoch": .double(epoch), "eval_loss": .finite(report.loss),
      "eval_examples": .integer(report.exampleCount),
      "eval_seconds": .double((report.seconds * 1000).rounded() / 1000),
      "training_seconds": .double((state.trainingSeconds * 1000).rounded() / 1000),
    ]
    for (name, value) in report.metrics { members["eval_\(name)"] = .finite(value) }
    folder?.logMetrics(members)
    lastEvaluation = (state.step, report.value(of: metric.name) ?? .nan)
    RunLog.notice("step \(state.step): validation \(report.summary) (\(report.exampleCount) examples)")
    guard let value = report.value(of: metric.name), value.isFinite else { return true }
    let isBetter = state.best.map { metric.largerIsBetter ? value > $0.value : value < $0.value } ?? true
    guard isBetter else { return true }
    state.best = .init(step: state.step, value: value)
    best = method.parameters.map { $0.value.copy() }
    return true
  }

  /// The task's metric of the parameters as they are, on the validation data; leaves no trace in the run. NaN where it has
  /// no value; nil if a signal broke the evaluation off.
  public func score() throws -> Double? {
    if let lastEvaluation, lastEvaluation.step == state.step { return lastEvaluation.value }
    guard let validation else { return .nan }
    PhaseBoard.enter("judging after step \(state.step)")
    guard let report = try evaluation.evaluate(validation, writesAnswers: metric.needsAnswers) else { return nil }
    return report.value(of: metric.name) ?? .nan
  }

  /// Puts the best parameters in place: those the adapter is written from and the test is run with. Without an evaluation
  /// they are the last ones.
  public func takeBest() {
    guard let best else { return }
    for (parameter, value) in zip(method.parameters, best) { parameter.value.copyElements(from: value) }
  }

  // MARK: Silent divergence

  /// Steps between two digests: every step for small adaptations, fewer where hashing would be felt.
  private var digestInterval: Int { max(1, method.trainableCount / 4_000_000) }

  /// Compares a digest of the parameters across ranks and records it.
  private func recordDigests(loss: Double) throws {
    guard state.step % digestInterval == 0 else { return }
    let digests = ParameterDigest.digests(method.parameters)
    try compareAcrossRanks(digests)
    folder?.logDigests(DigestLog.line(step: state.step, loss: loss, digests: digests))
  }

  /// Throws: `TrainingError.ranksDiverged` on every rank, naming those that differ from the majority.
  private func compareAcrossRanks(_ digests: [UInt64]) throws {
    guard let world, world.size > 1 else { return }
    let own = Int64(bitPattern: ParameterDigest.folded(digests))
    var extremes = [own, ~own]
    try world.reduce(&extremes, .maximum)
    // The largest of ~x is ~ of the smallest x: equal if and only if all ranks have the same digest.
    guard extremes[0] != ~extremes[1] else { return }
    let all = try world.gatherAtAll("\(own) \(world.hostName)").map { $0.split(separator: " ", maxSplits: 1) }
    let counts = Dictionary(grouping: all.indices) { all[$0][0] }
    let largest = counts.values.map(\.count).max() ?? 0
    let majorities = counts.filter { $0.value.count == largest }
    let odd =
      majorities.count == 1
      ? all.indices.filter { majorities[all[$0][0]] == nil } : Array(all.indices)
    throw TrainingError.ranksDiverged(step: state.step, ranks: odd.map { "rank \($0) (\(all[$0][1]))" })
  }

  private func injectFaults() throws {
    let (rank, step) = (world?.rank ?? 0, state.step + 1)
    if faults.strikes(.throw, rank: rank, step: step) { throw FaultInjection.Injected(step: step) }
    engine.leafDelaySeconds = faults.strikes(.slow, rank: rank, step: step) ? 10 : 0
    if faults.strikes(.hang, rank: rank, step: step) { while true { sleep(1) } }
    if faults.strikes(.corrupt, rank: rank, step: step), let value = method.parameters.first?.value {
      value.pointer[0] = Float(bitPattern: value.pointer[0].bitPattern ^ 1)
    }
  }
}

extension JSON {
  /// A number JSON can hold, or null.
  static func finite(_ value: Double) -> JSON { value.isFinite ? .double(value) : .null }
}
