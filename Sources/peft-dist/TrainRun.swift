import ArgumentParser
import CKernels
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import NN
import PEFTMethods
import Tasks
import TensorCore
import Training

/// The wiring of one training run.
@MainActor
struct TrainRun {
  let flags: TrainCommand
  /// nil where this rank trains alone, whatever the others do.
  let world: World?
  let place: Workplace
  let task: any TextTask
  let train: EncodedDataset
  let split: ValidationSplit
  let trainLocation: URL
  /// How examples that judge become ids; training may make targets of their sources besides.
  let encoding: ExampleEncoding
  let configuration: RunConfiguration
  let tuned: any PEFTMethod
  let frozen: FrozenLayers?
  /// How answers are generated that judge.
  private let generation: GenerationOptions
  /// What makes source and target of plain texts, anew in every epoch.
  let objective: Objective?
  /// Learning rate, of several methods that of each.
  private let rateText: String
  /// Of the base, as all ranks have read it.
  private let modelIdentity: String
  let start = Stopwatch()

  /// How far a run has come.
  enum Outcome: Equatable {
    /// To its end, now or before; or it was only to be shown.
    case done
    /// A signal asked for an end; the state is saved.
    case stopped
    /// To the step asked for, whose state is saved; the task's metric there.
    case paused(score: Double)
  }

  private var isFirst: Bool { world?.isFirst ?? true }
  private var rankCount: Int { world?.size ?? 1 }

  /// - Parameter place: one where a run on the same base and task was made before.
  init(_ flags: TrainCommand, world: World?, place known: Workplace? = nil) throws {
    var flags = flags
    self.world = world
    PhaseBoard.enter("reading the data")
    let choice = try TaskChoice(
      flags.data, model: flags.model.model, adapter: flags.initAdapter,
      template: flags.method.promptTemplate, replacesHead: flags.ignoreMismatchedHead, seed: flags.seed,
      location: { try Self.trainLocation(flags, $0) })
    task = choice.task
    trainLocation = try Self.trainLocation(flags, task)
    place =
      try known.map { try Workplace($0, head: choice.head, cache: flags.data.cacheFolder) }
      ?? Workplace(
        choice.folder, head: choice.head, threads: flags.leaf.threadsPerRank, precision: flags.leaf.arithmetic,
        cache: flags.data.cacheFolder, world: world)
    // Before anything is done with what was read: a rank with other files or flags would fail, or wait, for other reasons.
    let trainData = try place.digest(ofData: trainLocation, over: world)
    let validationData = try Self.validationLocation(flags, task).map { [place] in
      try place.digest(ofData: $0, over: world)
    }
    modelIdentity = try place.agree(over: world, adapters: flags.initAdapter.map { [$0] } ?? [])
    if let head = place.model.description.head, let old = head.replacedLabelCount, flags.initAdapter == nil {
      RunLog.warning(
        "the head of \(choice.folder.url.path) for \(old) labels gives way to a new one for \(head.labels.count), as "
          + "--ignore-mismatched-head asks")
    }
    let options = try flags.method.options(
      textIDs: place.tokenizer.encode, wordIDs: place.tokenizer.tokens, labelIDs: place.labelIDs(task))
    let request = try flags.methodRequest()
    if let path = flags.initAdapter {
      tuned = try request.adopt(
        MethodCatalogue.read(folder: URL(fileURLWithPath: path), model: place.model), place.model)
    } else {
      tuned = try request.make(options, place.model, seed: flags.seed)
    }
    encoding = try place.encoding(flags.data, task, tuned)
    (flags.search, generation) = try flags.search.judging(
      place, task, maxNewTokens: encoding.target, seed: flags.seed)
    self.flags = flags
    PhaseBoard.enter("reading the data")
    train = try place.dataset(
      trainLocation, task: task,
      encoding: place.encoding(flags.data, task, tuned, trainsOnSource: flags.lossOn == .all), flags: flags.data,
      visits: flags.steps.map { $0 * flags.globalBatchSize })
    if let template = options.promptTemplate, template.isOfPair, train.count > 0,
      train[0].secondStart == train[0].source.count
    {
      throw MethodError.badOption(
        option: "--prompt-template", value: "'\(template.description)'",
        expected: "{text} in place of two sentences, as task \(task.name) has no pairs here")
    }
    let hasFile = Self.validationLocation(flags, task) != nil
    let wantsValidation = flags.evalEvery != 0
    split = ValidationSplit(
      count: train.count, fraction: hasFile || !wantsValidation ? 0 : flags.validationFraction, seed: flags.seed)
    guard !split.train.isEmpty else { throw TrainingError.noExamples(source: trainLocation.path) }
    let ranks = world?.size ?? 1
    guard split.train.count >= ranks else {
      throw TrainingError.tooFewExamples(examples: split.train.count, ranks: ranks, source: trainLocation.path)
    }
    rateText = request.rateText
    var resolved = try Self.configuration(
      flags, place: place, task: task, encoding: encoding, trainCount: split.train.count, request: request,
      modelIdentity: modelIdentity, trainData: trainData, validationData: validationData)
    try RankAgreement.check(
      resolved.settings.filter(\.altersResult).map { ($0.key, $0.value.encoded(.compact)) }
        + [("resume", "\(flags.resume)"), ("output", flags.output)], over: world)
    resolved.skipsNonFiniteSteps = flags.nonFinite == "skip"
    resolved.lossScaling = flags.lossScaling ?? .unscaled
    resolved.evaluatesOnStart = flags.evalOnStart
    resolved.allowsChangedSettings = flags.allowChangedSettings
    resolved.allowsOtherIdentity = flags.allowOtherIdentity
    configuration = resolved
    objective = try place.objective(flags.data, task)
    // What an objective hides differs from epoch to epoch, and with it the states of the first layers.
    frozen = objective == nil ? Self.frozenLayers(flags.cache, place.model, tuned, dropout: resolved.dropout) : nil
  }

  private static func trainLocation(_ flags: TrainCommand, _ task: any TextTask) throws -> URL {
    try flags.trainFile.map { URL(fileURLWithPath: $0) }
      ?? task.requiredLocation(of: .train, in: URL(fileURLWithPath: flags.data.dataDir ?? "."))
  }

  /// Of validation data of its own; nil where a share of the training data serves, or nothing is judged.
  private static func validationLocation(_ flags: TrainCommand, _ task: any TextTask) -> URL? {
    guard flags.evalEvery != 0 else { return nil }
    return flags.evalFile.map { URL(fileURLWithPath: $0) }
      ?? flags.data.dataDir.flatMap { task.location(of: .validation, in: URL(fileURLWithPath: $0)) }
  }

  private static func configuration(
    _ flags: TrainCommand, place: Workplace, task: any TextTask, encoding: ExampleEncoding, trainCount: Int,
    request: MethodRequest, modelIdentity: String, trainData: String, validationData: String?
  ) throws -> RunConfiguration {
    let perEpoch = (trainCount + flags.globalBatchSize - 1) / flags.globalBatchSize
    let total = flags.steps ?? flags.epochs * perEpoch
    let dropout = flags.dropout.map { DropoutRates(Float($0)) } ?? place.model.description.dropoutRates
    let learningRate = request.rate
    let leafTokens = flags.leaf.leafTokens ?? place.model.description.leafTokens
    var optimizer = OptimizerConfiguration(
      kind: .init(rawValue: flags.optimizer) ?? .adamw, weightDecay: flags.weightDecay)
    if optimizer.kind == .adafactor {
      optimizer.adafactor.relativeStep = flags.learningRate == nil
      optimizer.adafactor.scaleParameter = flags.learningRate == nil || flags.scaleParameter
    }
    try optimizer.validate()
    return RunConfiguration(
      globalBatchSize: flags.globalBatchSize, totalSteps: total, leafTokens: leafTokens,
      optimizer: optimizer, learningRate: learningRate,
      schedule: try Schedule(named: flags.schedule, warmupSteps: flags.warmupSteps, totalSteps: total),
      maxGradNorm: flags.maxGradNorm > 0 ? flags.maxGradNorm : nil, dropout: dropout, seed: flags.seed,
      evalEvery: flags.evalEvery, saveEvery: flags.saveEvery, keepCheckpoints: flags.keepCheckpoints,
      logEvery: flags.logEvery, maxTargetLength: encoding.target,
      settings: flags.settings(
        totalSteps: total, learningRate: optimizer.kind == .adafactor ? flags.learningRate : learningRate,
        learningRateOf: request.assignedRates ?? flags.learningRateOf, dropout: dropout, encoding: encoding,
        labels: task.labels,
        modelIdentity: modelIdentity, trainCount: trainCount, trainData: trainData,
        validationData: validationData, leafTokens: leafTokens))
  }

  /// - Parameters:
  ///   - limit: pause after this step, if the run is longer.
  ///   - known: the numeric identity, if it was measured before.
  ///   - printsResult: whether the result goes to standard output.
  func run(until limit: Int = .max, identity known: NumericIdentity? = nil, printsResult: Bool = true) throws -> Outcome
  {
    try describe()
    if flags.dryRun { return .done }
    try checkTestData()
    PhaseBoard.enter("opening the run folder")
    let identity = try known ?? measuredIdentity()
    let output = URL(fileURLWithPath: flags.output)
    if try flags.resume && isFinished() {
      RunLog.notice("the run in \(output.path) is finished; nothing to do")
      return .done
    }
    let folder = isFirst ? try RunFolder(output, resume: flags.resume) : nil
    let evaluation = makeEvaluation()
    let trainer = try makeTrainer(evaluation, identity: identity, folder: folder)
    if flags.resume { try trainer.resume() }
    try startCache(trainer)
    try folder?.writeConfiguration(flags.yaml(configuration.settings))
    switch try trainer.run(until: limit) {
    case .stopped(let step):
      RunLog.notice("stopped after step \(step) as a signal asked; go on with --resume")
      return .stopped
    case .paused: return try trainer.score().map { .paused(score: $0) } ?? .stopped
    case .finished: break
    }
    PhaseBoard.enter("saving")
    try trainer.finishSaving()
    trainer.takeBest()
    PhaseBoard.enter("testing")
    var test: EvaluationReport?
    if let set = try testSet() {
      guard let report = try evaluation.evaluate(set, writesAnswers: true, progressName: "test, leaf") else {
        RunLog.notice("stopped while testing, as a signal asked; go on with --resume")
        return .stopped
      }
      test = report
    }
    PhaseBoard.enter("writing the adapter")
    let cacheUse = try trainer.cacheUse()
    let peak = "\(ProcessMemory.peakMegabytes)"
    let peaks = try world?.gatherAtAll(peak) ?? [peak]
    try place.requireUnchangedModel(modelIdentity)
    guard let folder else { return .done }
    let adapter = try folder.writeAdapter(
      tuned.adapterFiles(baseModelName: flags.model.model), baseFolder: place.folder.url,
      model: place.model.description)
    var members = summary(trainer: trainer, test: test, adapter: adapter, identity: identity)
    try taskSettings().write(to: output.appendingPathComponent("adapter"))
    members["peak_rss_mb"] = .array(peaks.map { .integer(Int($0) ?? 0) })
    if let cacheUse {
      members["activation_cache"] = [
        "bytes": .integer(cacheUse.bytes), "examples": .integer(cacheUse.examples), "hits": .integer(cacheUse.hits),
        "misses": .integer(cacheUse.misses),
      ]
    }
    try folder.writeSummary(members)
    guard printsResult else { return .done }
    print("adapter \(output.appendingPathComponent("adapter").path)")
    print("sha256  \(adapter.sha256)")
    if let best = trainer.bestEvaluation {
      print("best    \(task.metric.name) \(ReadableNumbers.loss(best.value)) at step \(best.step) (validation)")
    }
    if let test { print("test    \(test.summary) (\(test.exampleCount) examples)") }
    suggestNextSteps()
    return .done
  }

  /// What was done to the texts, for whoever uses the result.
  private func taskSettings() throws -> TaskSettings {
    let isText = encoding.form == .continuation && task.metrics == .tokens
    return TaskSettings(
      task: task, columns: try task.columns(at: trainLocation),
      maxSourceLength: isText ? encoding.textLength : encoding.source, maxTargetLength: encoding.target,
      generation: Dictionary(flags.generation.filter { $0.1 != .null }, uniquingKeysWith: { $1 }))
  }

  private func makeEvaluation() -> Evaluation {
    Evaluation(
      evaluator: LeafEvaluator(model: place.model, method: tuned, weights: place.weights), world: world,
      workers: place.workers,
      tokenizer: place.tokenizer, leafTokens: configuration.leafTokens,
      generation: generation)
  }

  func makeTrainer(_ evaluation: Evaluation? = nil, identity: NumericIdentity, folder: RunFolder?) throws -> Trainer {
    let planner = StepPlanner(
      dataset: train, examples: split.train, globalBatchSize: flags.globalBatchSize,
      leafTokens: configuration.leafTokens, virtualTokenCount: tuned.virtualTokenCount,
      sourceShare: FrozenLayers.remainingShare(frozen, of: place.model.description), objective: objective,
      seed: flags.seed)
    warnAboutIdleWorkers(planner)
    let engine = GradientEngine(
      evaluator: LeafEvaluator(model: place.model, method: tuned, weights: place.weights, frozen: frozen), world: world,
      workers: place.workers)
    return try Trainer(
      configuration: configuration, engine: engine, evaluation: evaluation ?? makeEvaluation(), planner: planner,
      validation: try validationSet(), metric: task.metric, identity: identity, folder: folder)
  }

  func measuredIdentity() throws -> NumericIdentity {
    let identity = try NumericIdentity.measure(
      precision: flags.leaf.arithmetic, leafTokens: configuration.leafTokens)
    if let world { try identity.agree(over: world) }
    return identity
  }

  private var modelParameterCount: Int { place.model.parameters.reduce(0) { $0 + $1.count } }

  func describe() throws {
    let description = place.model.description
    let total = modelParameterCount
    let share = 100 * Double(tuned.trainableCount) / Double(total)
    let sampled = split.train.count > 2000 ? Array(split.train.prefix(2000)) : split.train
    let statistics = LengthStatistics(train, indices: sampled)
    RunLog.notice(
      "\(description.modelType) with \(ReadableNumbers.grouped(total)) parameters; \(tuned.name) trains "
        + "\(ReadableNumbers.grouped(tuned.trainableCount)) (\(String(format: "%.3f", share)) %)")
    if let parts = tuned.trainedParts { RunLog.notice("trained are \(parts)") }
    let columns = try task.columns(at: trainLocation)
    let labels = task.labels.prefix(10).enumerated().map { "\($0.offset) \($0.element)" }.joined(separator: ", ")
    RunLog.notice(
      "task \(task.name)" + (columns.isEmpty ? "" : ", which reads the columns \(columns.joined(separator: ", "))")
        + (labels.isEmpty ? "" : "; labels: \(labels)")
        + (task.labels.count > 10 ? " and \(task.labels.count - 10) more" : ""))
    RunLog.notice(
      "\(split.train.count) training and \(split.validation.count) held-out examples"
        + (sampled.count < split.train.count ? "; of the first \(sampled.count): " : "; ") + "\(statistics)")
    RunLog.notice(
      "\(configuration.totalSteps) steps of \(flags.globalBatchSize) examples, \(flags.optimizer), learning rate "
        + "\(rateText) (\(flags.schedule)), dropout \(configuration.dropout); \(rankCount) "
        + "rank\(rankCount == 1 ? "" : "s") x \(place.workers.threadCount) "
        + "thread\(place.workers.threadCount == 1 ? "" : "s")")
  }

  private func warnAboutIdleWorkers(_ planner: StepPlanner) {
    let leaves = planner.plan(step: 0).leaves.count
    let hands = rankCount * place.workers.threadCount
    if leaves < hands {
      RunLog.warning(
        "a step has \(leaves) \(leaves == 1 ? "leaf" : "leaves") for \(hands) workers; use fewer ranks or threads, a larger "
          + "--global-batch-size, or a smaller --leaf-tokens (which changes the result)")
    }
  }

  private func limited(_ examples: [Int]) -> [Int] { Array(examples.prefix(flags.evalLimit ?? examples.count)) }

  private func validationSet() throws -> EvaluationSet? {
    guard flags.evalEvery != 0 else { return nil }
    guard let own = Self.validationLocation(flags, task) else {
      guard !split.validation.isEmpty else { return nil }
      return try judged(trainLocation, examples: limited(split.validation))
    }
    return try judged(own, examples: nil)
  }

  /// - Parameter examples: indices into the data; nil for the first ones.
  private func judged(_ location: URL, examples: [Int]?) throws -> EvaluationSet {
    let isTrain = location == trainLocation && flags.lossOn != .all
    let dataset =
      isTrain && examples != nil
      ? train : try place.dataset(location, task: task, encoding: encoding, flags: flags.data, visits: flags.evalLimit)
    return try place.evaluationSet(
      dataset, examples: examples ?? limited(Array(0..<dataset.count)), task: task, location: location,
      flags: flags.data)
  }

  /// Whether there is something to judge by while training.
  func hasValidation() throws -> Bool { try validationSet().map { !$0.examples.isEmpty } ?? false }

  private var testLocation: URL? {
    guard flags.evalEvery != 0 else { return nil }
    return flags.testFile.map { URL(fileURLWithPath: $0) }
      ?? flags.data.dataDir.flatMap { task.location(of: .test, in: URL(fileURLWithPath: $0)) }
  }

  /// A fault in the test data is told before training, not after it.
  private func checkTestData() throws {
    if isFirst, let testLocation { _ = try task.examples(at: testLocation) }
  }

  private func testSet() throws -> EvaluationSet? {
    try testLocation.map { try judged($0, examples: nil) }
  }

  private func summary(
    trainer: Trainer, test: EvaluationReport?, adapter: FileDigest, identity: NumericIdentity
  ) -> [String: JSON] {
    let total = modelParameterCount
    let epochs = Double(max(trainer.step, 1)) / Double(trainer.stepsPerEpoch)
    func milliseconds(_ seconds: Double) -> JSON { .double((seconds * 1000).rounded() / 1000) }
    var members: [String: JSON] = [
      "model": .string(place.folder.url.standardizedFileURL.lastPathComponent), "task": .string(task.name),
      "method": .string(flags.method.method), "learning_rate": .string(rateText),
      "seed": .integer(Int(flags.seed)),
      "metric": .string(task.metric.name), "metric_larger_is_better": .bool(task.metric.largerIsBetter),
      "global_batch_size": .integer(flags.globalBatchSize), "steps_per_epoch": .integer(trainer.stepsPerEpoch),
      "steps": .integer(trainer.step), "adapter_sha256": .string(adapter.sha256),
      "adapter_bytes": .integer(adapter.byteCount),
      "trainable_parameters": .integer(tuned.trainableCount), "model_parameters": .integer(total),
      "trainable_share": .double(Double(tuned.trainableCount) / Double(total)),
      "training_seconds": milliseconds(trainer.trainingSeconds),
      "seconds_per_epoch": milliseconds(trainer.trainingSeconds / epochs),
      "wall_seconds": .double((start.seconds * 10).rounded() / 10),
      "ranks": .integer(rankCount), "threads_per_rank": .integer(place.workers.threadCount),
      "numeric_identity": .string(identity.text), "program_version": .string(PeftDist.version),
      "kernels": .string(String(cString: kernels_name(kernels_selected()))),
      "cpu": .string(ProcessorFeatures.read().model),
      "stage_seconds": .object(
        Dictionary(uniqueKeysWithValues: trainer.stageSeconds.map { ($0.rawValue, milliseconds($1)) })),
    ]
    for setting in configuration.settings where TrainCommand.found.contains(setting.key) {
      members[setting.key] = setting.value
    }
    if let best = trainer.bestEvaluation {
      members["best_step"] = .integer(best.step)
      members["best_eval_\(task.metric.name)"] = .double(best.value)
    }
    if let test {
      members["test_loss"] = test.loss.isFinite ? .double(test.loss) : .null
      members["test_examples"] = .integer(test.exampleCount)
      for (name, value) in test.metrics { members["test_\(name)"] = .double(value) }
    }
    return members
  }
}
