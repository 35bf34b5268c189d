import ArgumentParser
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import NN
import PEFTMethods
import Tasks
import TensorCore
import Training
import Yams

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Tune a model on a task; alone, or on every rank of an MPI job.",
    discussion: """
      Writes to --output: adapter/ (Hugging Face PEFT format), checkpoints/, metrics.jsonl, summary.json, run.yaml.
      The bytes of the adapter are the same for any number of ranks and threads.

        peft-dist train --model t5-small --task imdb --data-dir imdb --method lora --output runs/lora
        mpirun -n 8 peft-dist train --config run.yaml --output runs/again
      """)

  @Option(help: ArgumentHelp("YAML file of flags (learning_rate: 0.3); flags typed win.", valueName: "file"))
  var config: String?
  @OptionGroup(title: "Model") var model: ModelFlags
  @OptionGroup(title: "Data") var data: DataFlags
  @Option(help: ArgumentHelp("Training file or folder, instead of the one in --data-dir.", valueName: "file"))
  var trainFile: String?
  @Option(help: ArgumentHelp("Validation file or folder.", valueName: "file"))
  var evalFile: String?
  @Option(help: ArgumentHelp("Test file or folder, looked at once, at the end.", valueName: "file"))
  var testFile: String?
  @Option(help: ArgumentHelp("Share of the training data to validate on, where the task has no validation file.", valueName: "share"))
  var validationFraction = 0.05
  @OptionGroup(title: "Method") var method: MethodFlags
  @OptionGroup(title: "Leaves") var leaf: LeafFlags
  @OptionGroup(title: "Watching") var watch: WatchFlags

  @Option(help: ArgumentHelp("Examples of one optimizer step, over all ranks.", valueName: "n"))
  var globalBatchSize = 32
  @Option(help: ArgumentHelp("Passes over the data.", valueName: "n"))
  var epochs = 3
  @Option(help: ArgumentHelp("Optimizer steps, instead of --epochs.", valueName: "n"))
  var steps: Int?
  @Option(help: ArgumentHelp("Optimizer: \(OptimizerConfiguration.Kind.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "name"))
  var optimizer = "adamw"
  @Option(help: ArgumentHelp("Peak learning rate (default: one that suits the method).", valueName: "x"))
  var learningRate: Double?
  @Option(help: ArgumentHelp("Learning rate schedule: \(Schedule.names.joined(separator: ", ")).", valueName: "name"))
  var schedule = "linear"
  @Option(help: ArgumentHelp("Steps in which the rate rises from 0.", valueName: "n"))
  var warmupSteps = 0
  @Option(help: ArgumentHelp("Weight decay.", valueName: "x"))
  var weightDecay = 0.01
  @Option(help: ArgumentHelp("Clip the gradient to this norm; 0 for never.", valueName: "x"))
  var maxGradNorm = 1.0
  @Option(help: ArgumentHelp("Dropout rate of the model (default: the checkpoint's).", valueName: "rate"))
  var dropout: Double?
  @Option(help: ArgumentHelp("Seed of data order, initial values and dropout.", valueName: "n"))
  var seed: UInt64 = 42
  @Option(help: ArgumentHelp("Evaluate every n steps (default: every epoch); 0 for never.", valueName: "n"))
  var evalEvery: Int?
  @Option(help: ArgumentHelp("Evaluate on at most the first n examples.", valueName: "n"))
  var evalLimit: Int?
  @Option(help: ArgumentHelp("Log every n steps.", valueName: "n"))
  var logEvery = 1
  @Option(help: ArgumentHelp("Save a checkpoint every n steps (default: every epoch); 0 for never.", valueName: "n"))
  var saveEvery: Int?
  @Option(help: ArgumentHelp("Checkpoints to keep.", valueName: "n"))
  var keepCheckpoints = 2
  @Option(help: ArgumentHelp("Folder for the results.", valueName: "dir"))
  var output: String
  @Flag(help: "Go on from the newest usable checkpoint in --output.")
  var resume = false
  @Flag(help: "With --resume: go on although settings that alter the result have changed.")
  var allowChangedSettings = false
  @Flag(help: "With --resume: go on although this machine computes other bits than the one before.")
  var allowOtherIdentity = false
  @Option(help: ArgumentHelp("What an infinite or undefined loss does: stop the run, or skip the step.", valueName: "stop|skip"))
  var nonFinite = "stop"
  @Flag(help: "Show what would be trained, and stop.")
  var dryRun = false

  func validate() throws {
    func check<Value>(_ flags: [(String, Value?)], _ expected: String, _ holds: (Value) -> Bool) throws {
      for case (let flag, let value?) in flags where !holds(value) {
        throw ValidationError("\(flag) \(value): expected \(expected)")
      }
    }
    try check(
      [
        ("--global-batch-size", globalBatchSize), ("--epochs", epochs), ("--steps", steps), ("--log-every", logEvery),
        ("--keep-checkpoints", keepCheckpoints), ("--eval-limit", evalLimit),
      ], "at least 1") { $0 >= 1 }
    try check(
      [("--eval-every", evalEvery), ("--save-every", saveEvery), ("--warmup-steps", warmupSteps)], "0 or more"
    ) { $0 >= 0 }
    try check(
      [("--validation-fraction", validationFraction), ("--dropout", dropout)], "a share from 0 to below 1"
    ) { (0..<1).contains($0) }
    try check(
      [("--learning-rate", learningRate), ("--max-grad-norm", maxGradNorm), ("--weight-decay", weightDecay)],
      "a number from 0") { $0 >= 0 && $0.isFinite }
    guard ["stop", "skip"].contains(nonFinite) else {
      throw ValidationError("--non-finite \(nonFinite): expected stop or skip")
    }
    guard OptimizerConfiguration.Kind(rawValue: optimizer) != nil else {
      throw ValidationError("--optimizer \(optimizer): expected adamw, adam, sgd or adafactor")
    }
    guard Schedule.names.contains(schedule) else {
      throw ValidationError("--schedule \(schedule): expected \(Schedule.names.joined(separator: ", "))")
    }
    guard data.dataDir != nil || trainFile != nil else {
      throw ValidationError("--data-dir or --train-file is needed")
    }
    if !MethodCatalogue.entries.contains(where: { $0.name == method.method }) {
      throw ValidationError(
        "--method \(method.method): expected \(MethodCatalogue.entries.map(\.name).joined(separator: ", "))")
    }
  }

  func run() throws {
    let stopped = try watch.run { try TrainRun(self, world: $0).run() }
    if stopped { throw ExitCode(75) }
  }
}

/// The wiring of one training run.
@MainActor
struct TrainRun {
  let flags: TrainCommand
  let world: World
  let place: Workplace
  let task: any TextTask
  let train: EncodedDataset
  let split: ValidationSplit
  let trainLocation: URL
  let configuration: RunConfiguration
  let tuned: any PEFTMethod
  let start = Stopwatch()

  init(_ flags: TrainCommand, world: World) throws {
    self.flags = flags
    self.world = world
    place = try Workplace(
      model: flags.model.model, threads: flags.leaf.threadsPerRank, precision: flags.leaf.precision,
      cache: flags.data.cacheFolder, world: world)
    PhaseBoard.enter("reading the data")
    task = try TaskCatalogue.task(named: flags.data.task, options: flags.data.textOptions)
    trainLocation = try flags.trainFile.map { URL(fileURLWithPath: $0) }
      ?? task.requiredLocation(of: .train, in: URL(fileURLWithPath: flags.data.dataDir ?? "."))
    train = try place.dataset(
      trainLocation, task: task, flags: flags.data, visits: flags.steps.map { $0 * flags.globalBatchSize })
    let hasFile = flags.evalFile != nil || flags.data.dataDir.flatMap {
      [task] in task.location(of: .validation, in: URL(fileURLWithPath: $0))
    } != nil
    let wantsValidation = flags.evalEvery != 0
    split = ValidationSplit(
      count: train.count, fraction: hasFile || !wantsValidation ? 0 : flags.validationFraction, seed: flags.seed)
    guard !split.train.isEmpty else { throw TrainingError.noExamples(source: trainLocation.path) }
    guard split.train.count >= world.size else {
      throw TrainingError.tooFewExamples(
        examples: split.train.count, ranks: world.size, source: trainLocation.path)
    }
    let options = try flags.method.options(
      textIDs: place.tokenizer.encode, labelIDs: place.labelIDs(task))
    let entry = try MethodCatalogue.entry(named: flags.method.method)
    tuned = try entry.make(options, place.model, flags.seed)
    var resolved = try Self.configuration(
      flags, place: place, task: task, trainCount: split.train.count, rate: entry.defaultLearningRate)
    resolved.skipsNonFiniteSteps = flags.nonFinite == "skip"
    resolved.allowsChangedSettings = flags.allowChangedSettings
    resolved.allowsOtherIdentity = flags.allowOtherIdentity
    configuration = resolved
  }

  private static func configuration(
    _ flags: TrainCommand, place: Workplace, task: any TextTask, trainCount: Int, rate: Double
  ) throws -> RunConfiguration {
    let perEpoch = (trainCount + flags.globalBatchSize - 1) / flags.globalBatchSize
    let total = flags.steps ?? flags.epochs * perEpoch
    let dropout = flags.dropout ?? Double(place.model.description.dropoutRate)
    let learningRate = flags.learningRate ?? rate
    var optimizer = OptimizerConfiguration(
      kind: .init(rawValue: flags.optimizer) ?? .adamw, weightDecay: flags.weightDecay)
    if optimizer.kind == .adafactor {
      optimizer.adafactor.relativeStep = flags.learningRate == nil
      optimizer.adafactor.scaleParameter = flags.learningRate == nil
    }
    try optimizer.validate()
    return RunConfiguration(
      globalBatchSize: flags.globalBatchSize, totalSteps: total, leafTokens: flags.leaf.leafTokens,
      optimizer: optimizer, learningRate: learningRate,
      schedule: try Schedule(named: flags.schedule, warmupSteps: flags.warmupSteps, totalSteps: total),
      maxGradNorm: flags.maxGradNorm > 0 ? flags.maxGradNorm : nil, dropout: Float(dropout), seed: flags.seed,
      evalEvery: flags.evalEvery, saveEvery: flags.saveEvery, keepCheckpoints: flags.keepCheckpoints,
      logEvery: flags.logEvery, maxTargetLength: place.maxTargetLength(flags.data, task),
      settings: flags.settings(
        totalSteps: total, learningRate: learningRate, dropout: dropout,
        maxTargetLength: place.maxTargetLength(flags.data, task), modelIdentity: try place.folder.identity()))
  }

  /// - Returns: whether a signal stopped the run.
  func run() throws -> Bool {
    describe()
    if flags.dryRun { return false }
    try checkTestData()
    PhaseBoard.enter("opening the run folder")
    let identity = try measuredIdentity()
    let output = URL(fileURLWithPath: flags.output)
    let folder = world.isFirst ? try RunFolder(output, resume: flags.resume) : nil
    let isFinished = try world.reduce(folder?.isFinished == true ? 1 : 0, .sum) > 0
    if isFinished {
      RunLog.notice("the run in \(output.path) is finished; nothing to do")
      return false
    }
    let evaluation = makeEvaluation()
    let trainer = try makeTrainer(evaluation, identity: identity, folder: folder)
    if flags.resume { try trainer.resume() }
    try folder?.writeConfiguration(flags.yaml(configuration.settings))
    if case .stopped(let step) = try trainer.run() {
      RunLog.notice("stopped after step \(step) as a signal asked; go on with --resume")
      return true
    }
    PhaseBoard.enter("saving")
    try trainer.finishSaving()
    trainer.takeBest()
    PhaseBoard.enter("testing")
    var test: EvaluationReport?
    if let set = try testSet() {
      guard let report = try evaluation.evaluate(set, progressName: "test, leaf") else {
        RunLog.notice("stopped while testing, as a signal asked; go on with --resume")
        return true
      }
      test = report
    }
    PhaseBoard.enter("writing the adapter")
    guard let folder else { return false }
    let sha256 = try folder.writeAdapter(
      tuned.adapterFiles(baseModelName: flags.model.model), baseFolder: place.folder.url)
    try folder.writeSummary(
      summary(trainer: trainer, test: test, sha256: sha256, identity: identity))
    print("adapter \(output.appendingPathComponent("adapter").path)")
    print("sha256  \(sha256)")
    if let best = trainer.bestEvaluation {
      print("best    \(task.metric.name) \(ReadableNumbers.loss(best.value)) at step \(best.step) (validation)")
    }
    if let test { print("test    \(test.summary) (\(test.exampleCount) examples)") }
    return false
  }

  private func makeEvaluation() -> Evaluation {
    Evaluation(
      evaluator: LeafEvaluator(model: place.model, method: tuned, packed: place.packed), world: world, workers: place.workers,
      tokenizer: place.tokenizer, leafTokens: flags.leaf.leafTokens, maxTargetLength: configuration.maxTargetLength)
  }

  func makeTrainer(_ evaluation: Evaluation? = nil, identity: NumericIdentity, folder: RunFolder?) throws -> Trainer {
    let planner = StepPlanner(
      dataset: train, examples: split.train, globalBatchSize: flags.globalBatchSize,
      leafTokens: flags.leaf.leafTokens, virtualTokenCount: tuned.virtualTokenCount, seed: flags.seed)
    warnAboutIdleWorkers(planner)
    let engine = GradientEngine(
      evaluator: LeafEvaluator(model: place.model, method: tuned, packed: place.packed), world: world, workers: place.workers)
    return Trainer(
      configuration: configuration, engine: engine, evaluation: evaluation ?? makeEvaluation(), planner: planner,
      validation: try validationSet(), metric: task.metric, identity: identity, folder: folder)
  }

  func measuredIdentity() throws -> NumericIdentity {
    let identity = try NumericIdentity.measure(
      programVersion: PeftDist.version, precision: flags.leaf.precision, leafTokens: flags.leaf.leafTokens)
    try identity.agree(over: world)
    return identity
  }

  func describe() {
    let description = place.model.description
    let total = place.model.parameters.reduce(0) { $0 + $1.count }
    let share = 100 * Double(tuned.trainableCount) / Double(total)
    let sampled = split.train.count > 2000 ? Array(split.train.prefix(2000)) : split.train
    let statistics = LengthStatistics(train, indices: sampled)
    RunLog.notice(
      "\(description.modelType) with \(ReadableNumbers.grouped(total)) parameters; \(tuned.name) trains "
        + "\(ReadableNumbers.grouped(tuned.trainableCount)) (\(String(format: "%.3f", share)) %)")
    RunLog.notice(
      "\(split.train.count) training and \(split.validation.count) held-out examples"
        + (sampled.count < split.train.count ? "; of the first \(sampled.count): " : "; ") + "\(statistics)")
    RunLog.notice(
      "\(configuration.totalSteps) steps of \(flags.globalBatchSize) examples, \(flags.optimizer), learning rate "
        + "\(configuration.learningRate) (\(flags.schedule)), dropout \(configuration.dropout); \(world.size) "
        + "rank\(world.size == 1 ? "" : "s") x \(place.workers.threadCount) "
        + "thread\(place.workers.threadCount == 1 ? "" : "s")")
  }

  private func warnAboutIdleWorkers(_ planner: StepPlanner) {
    let leaves = planner.plan(step: 0).leaves.count
    let hands = world.size * place.workers.threadCount
    if leaves < hands {
      RunLog.warning(
        "a step has \(leaves) \(leaves == 1 ? "leaf" : "leaves") for \(hands) workers; use fewer ranks or threads, a larger "
          + "--global-batch-size, or a smaller --leaf-tokens (which changes the result)")
    }
  }

  private func limited(_ examples: [Int]) -> [Int] { Array(examples.prefix(flags.evalLimit ?? examples.count)) }

  private func validationSet() throws -> EvaluationSet? {
    guard flags.evalEvery != 0 else { return nil }
    let own = try flags.evalFile.map { URL(fileURLWithPath: $0) }
      ?? flags.data.dataDir.flatMap { task.location(of: .validation, in: URL(fileURLWithPath: $0)) }
    guard let own else {
      guard !split.validation.isEmpty else { return nil }
      return EvaluationSet(dataset: train, examples: limited(split.validation), labels: task.labels)
    }
    let dataset = try place.dataset(own, task: task, flags: flags.data, visits: flags.evalLimit)
    return EvaluationSet(dataset: dataset, examples: limited(Array(0..<dataset.count)), labels: task.labels)
  }

  private var testLocation: URL? {
    guard flags.evalEvery != 0 else { return nil }
    return flags.testFile.map { URL(fileURLWithPath: $0) }
      ?? flags.data.dataDir.flatMap { task.location(of: .test, in: URL(fileURLWithPath: $0)) }
  }

  /// A fault in the test data is told before training, not after it.
  private func checkTestData() throws {
    if world.isFirst, let testLocation { _ = try task.examples(at: testLocation) }
  }

  private func testSet() throws -> EvaluationSet? {
    guard let location = testLocation else { return nil }
    let dataset = try place.dataset(location, task: task, flags: flags.data, visits: flags.evalLimit)
    let examples = limited(Array(0..<dataset.count))
    return EvaluationSet(dataset: dataset, examples: examples, labels: task.labels)
  }

  private func summary(
    trainer: Trainer, test: EvaluationReport?, sha256: String, identity: NumericIdentity
  ) -> [String: JSON] {
    var members: [String: JSON] = [
      "steps": .integer(trainer.step), "adapter_sha256": .string(sha256),
      "trainable_parameters": .integer(tuned.trainableCount), "wall_seconds": .double((start.seconds * 10).rounded() / 10),
      "ranks": .integer(world.size), "threads_per_rank": .integer(place.workers.threadCount),
      "numeric_identity": .string(identity.text),
      "stage_seconds": .object(
        Dictionary(
          uniqueKeysWithValues: trainer.stageSeconds.map { ($0.rawValue, .double(($1 * 1000).rounded() / 1000)) })),
    ]
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

extension TrainCommand {
  /// Every setting by its name, resolved. Those that alter no byte of the result come last.
  func settings(
    totalSteps: Int, learningRate: Double, dropout: Double, maxTargetLength: Int, modelIdentity: String
  ) -> [RunConfiguration.Setting] {
    func text(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
    func number(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
    let altering: [(String, JSON)] = [
      ("task", .string(data.task)), ("lowercase", .bool(data.lowercase)), ("strip_html", .bool(data.stripHtml)),
      ("max_source_length", .integer(data.maxSourceLength)), ("max_target_length", .integer(maxTargetLength)),
      ("validation_fraction", .double(validationFraction)), ("eval_limit", number(evalLimit)),
      ("eval_every", number(evalEvery)), ("method", .string(method.method)),
      ("virtual_tokens", .integer(method.virtualTokens)), ("prompt_init", .string(method.promptInit)),
      ("prompt_init_text", text(method.promptInitText)), ("lora_r", .integer(method.loraR)),
      ("lora_alpha", .double(method.loraAlpha)), ("lora_dropout", .double(method.loraDropout)),
      ("target_modules", text(method.targetModules)), ("use_rslora", .bool(method.useRslora)),
      ("lora_bias", .string(method.loraBias)), ("lora_rank_pattern", text(method.loraRankPattern)),
      ("lora_alpha_pattern", text(method.loraAlphaPattern)), ("modules_to_save", text(method.modulesToSave)),
      ("leaf_tokens", .integer(leaf.leafTokens)), ("precision", .string(leaf.precision)),
      ("global_batch_size", .integer(globalBatchSize)), ("steps", .integer(totalSteps)),
      ("optimizer", .string(optimizer)), ("learning_rate", .double(learningRate)), ("schedule", .string(schedule)),
      ("warmup_steps", .integer(warmupSteps)), ("weight_decay", .double(weightDecay)),
      ("max_grad_norm", .double(maxGradNorm)), ("non_finite", .string(nonFinite)), ("dropout", .double(dropout)), ("seed", .integer(Int(clamping: seed))),
    ]
    let harmless: [(String, JSON)] = [
      ("model", .string(model.model)), ("data_dir", text(data.dataDir)), ("train_file", text(trainFile)),
      ("eval_file", text(evalFile)), ("test_file", text(testFile)), ("save_every", number(saveEvery)),
      ("keep_checkpoints", .integer(keepCheckpoints)), ("log_every", .integer(logEvery)),
      ("threads_per_rank", number(leaf.threadsPerRank)),
      ("stall_timeout_seconds", .double(watch.stallTimeoutSeconds)), ("cache_dir", text(data.cacheDir)),
    ]
    return altering.map { .init($0.0, $0.1) } + harmless.map { .init($0.0, $0.1, altersResult: false) }
      + [.init("model_identity", .string(modelIdentity))]
  }

  /// The settings as a file that `--config` reads back: those that are set.
  func yaml(_ settings: [RunConfiguration.Setting]) throws -> String {
    let pairs = settings.filter { $0.value != .null && $0.key != "model_identity" }
      .map { (Node($0.key), Node($0.value.scalarText)) }
    let node = Node.mapping(.init(pairs))
    return "# The resolved configuration of this run; train --config reads it.\n" + (try Yams.serialize(node: node))
  }
}

extension JSON {
  /// A scalar as YAML reads it back.
  fileprivate var scalarText: String {
    if case .string(let text) = self { return text }
    return encoded(.compact)
  }
}
