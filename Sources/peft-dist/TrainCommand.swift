import ArgumentParser
import PEFTMethods
import Training

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Tune a model on a task; alone, or on every rank of an MPI job.",
    usage: """
      peft-dist train --model <dir> --task <name> --data-dir <dir>
                      [--method <name>] --output <dir> [--epochs <n>]
                      [--learning-rate <x>] [--resume] [<options>]
      """,
    discussion: """
      Writes to --output: adapter/ (Hugging Face PEFT format), checkpoints/, metrics.jsonl, summary.json, run.yaml.
      The bytes of the adapter are the same for any number of ranks and threads.

        peft-dist train --model t5-small --task imdb --data-dir imdb --method lora --output runs/lora
        mpirun -n 8 peft-dist train --config run.yaml --output runs/again
      """)

  @Option(help: ArgumentHelp("YAML file of flags (learning_rate: 0.3); flags typed win.", valueName: "file"))
  var config: String?
  @OptionGroup(title: "Model") var model: ModelFlags
  @Flag(
    help: "Start a new head where that of the model is for another number of labels (ignore_mismatched_sizes).")
  var ignoreMismatchedHead = false
  @OptionGroup(title: "Data") var data: DataFlags
  @Option(help: ArgumentHelp("Training file or folder, instead of the one in --data-dir.", valueName: "file"))
  var trainFile: String?
  @Option(help: ArgumentHelp("Validation file or folder.", valueName: "file"))
  var evalFile: String?
  @Option(help: ArgumentHelp("Test file or folder, looked at once, at the end.", valueName: "file"))
  var testFile: String?
  @Option(
    help: ArgumentHelp(
      "Share of the training data to validate on, where the task has no validation file.", valueName: "share"))
  var validationFraction = 0.05
  @OptionGroup(title: "Method") var method: MethodFlags
  @OptionGroup(title: "Answers of evaluations") var search: SearchFlags
  @OptionGroup(title: "Leaves") var leaf: LeafFlags
  @OptionGroup(title: "Activation cache") var cache: ActivationCacheFlags
  @OptionGroup(title: "Watching") var watch: WatchFlags

  @Option(
    help: ArgumentHelp(
      "What a decoder such as GPT-2 is trained to write: the target alone, or all tokens.", valueName: "target|all"))
  var lossOn = LossScope.target
  @Option(help: ArgumentHelp("Examples of one optimizer step, over all ranks.", valueName: "n"))
  var globalBatchSize = 32
  @Option(help: ArgumentHelp("Passes over the data.", valueName: "n"))
  var epochs = 3
  @Option(help: ArgumentHelp("Optimizer steps, instead of --epochs.", valueName: "n"))
  var steps: Int?
  @Option(
    help: ArgumentHelp(
      "Optimizer: \(OptimizerConfiguration.Kind.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "name"))
  var optimizer = "adamw"
  @Option(help: ArgumentHelp("Peak learning rate (default: one that suits the method).", valueName: "x"))
  var learningRate: Double?
  @Flag(
    help: "Adafactor with a --learning-rate: that times the root mean square of each tensor, as T5 was pre-trained.")
  var scaleParameter = false
  @Option(
    help: ArgumentHelp(
      "Of several methods: peak learning rate of some, as NAME=X,NAME=X, before --learning-rate.", valueName: "pairs"))
  var learningRateOf: String?
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
  @Flag(help: "Evaluate before the first step, too.")
  var evalOnStart = false
  @Option(help: ArgumentHelp("Evaluate on at most the first n examples.", valueName: "n"))
  var evalLimit: Int?
  @Option(help: ArgumentHelp("Log every n steps.", valueName: "n"))
  var logEvery = 1
  @Option(help: ArgumentHelp("Save a checkpoint every n steps (default: every epoch); 0 for never.", valueName: "n"))
  var saveEvery: Int?
  @Option(help: ArgumentHelp("Checkpoints to keep.", valueName: "n"))
  var keepCheckpoints = 2
  @Option(
    help: ArgumentHelp(
      "Start from this adapter of the same --method; its options are those of the adapter.", valueName: "dir"))
  var initAdapter: String?
  @Option(
    help: ArgumentHelp(
      "Flags of a published recipe: \(Preset.names.joined(separator: ", ")); flags typed win.", valueName: "name"))
  var preset: String?
  @Option(help: ArgumentHelp("Folder for the results.", valueName: "dir"))
  var output: String
  @Flag(help: "Go on from the newest usable checkpoint in --output.")
  var resume = false
  @Flag(help: "With --resume: go on although settings that alter the result have changed.")
  var allowChangedSettings = false
  @Flag(help: "With --resume: go on although this machine computes other bits than the one before.")
  var allowOtherIdentity = false
  @Option(
    help: ArgumentHelp(
      "What an infinite or undefined loss does: stop the run, or skip the step.", valueName: "stop|skip"))
  var nonFinite = "stop"
  @Option(
    help: ArgumentHelp(
      "Factor on the loss in the backward pass: dynamic, none or a number (default: dynamic for fp16, else none).",
      valueName: "dynamic|none|x"))
  var lossScale: String?
  @Option(
    help: ArgumentHelp(
      "Dynamic loss scale: the first one (default: \(Int(LossScaling.defaultInitial))).", valueName: "x"))
  var initialLossScale: Float?
  @Option(
    help: ArgumentHelp(
      "Dynamic loss scale: steps without overflow until it doubles (default: \(LossScaling.defaultWindow)).",
      valueName: "n"))
  var lossScaleWindow: Int?
  @Flag(help: "Show what would be trained, and stop.")
  var dryRun = false

  static let largestSeed = UInt64(Int.max)
  /// Of steps, examples and passes, so that the product of two of them cannot overflow.
  private static let mostCount = 1 << 31 - 1

  /// As chosen, or what the precision needs; nil if it was chosen in words nobody knows.
  var lossScaling: LossScaling? {
    LossScaling(
      named: lossScale ?? LossScaling.defaultName(precision: leaf.arithmetic), initial: initialLossScale,
      window: lossScaleWindow)
  }

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
        ("--loss-scale-window", lossScaleWindow),
      ], "1 to \(Self.mostCount)"
    ) { (1...Self.mostCount).contains($0) }
    try check(
      [("--eval-every", evalEvery), ("--save-every", saveEvery), ("--warmup-steps", warmupSteps)],
      "0 to \(Self.mostCount)"
    ) { (0...Self.mostCount).contains($0) }
    // As JSON and YAML hold it.
    try check([("--seed", seed)], "0 to \(Self.largestSeed)") { $0 <= Self.largestSeed }
    try check(
      [("--validation-fraction", validationFraction), ("--dropout", dropout)], "a share from 0 to below 1"
    ) { (0..<1).contains($0) }
    try check(
      [("--learning-rate", learningRate), ("--max-grad-norm", maxGradNorm), ("--weight-decay", weightDecay)],
      "a number from 0"
    ) { $0 >= 0 && $0.isFinite }
    try check([("--initial-loss-scale", initialLossScale)], "a number from 1") { $0 >= 1 && $0.isFinite }
    guard let scaling = lossScaling else {
      throw ValidationError("--loss-scale \(lossScale ?? ""): expected dynamic, none or a number from 1")
    }
    if case .constant = scaling, initialLossScale != nil || lossScaleWindow != nil {
      throw ValidationError("--initial-loss-scale and --loss-scale-window belong to --loss-scale dynamic")
    }
    guard ["stop", "skip"].contains(nonFinite) else {
      throw ValidationError("--non-finite \(nonFinite): expected stop or skip")
    }
    guard OptimizerConfiguration.Kind(rawValue: optimizer) != nil else {
      throw ValidationError("--optimizer \(optimizer): expected adamw, adam, sgd or adafactor")
    }
    guard Schedule.names.contains(schedule) else {
      throw ValidationError("--schedule \(schedule): expected \(Schedule.names.joined(separator: ", "))")
    }
    try search.requireUsed(model: model.model)
    if let most = data.maxTargetLength { try search.check(most: most, flag: "--max-target-length") }
    _ = try data.requireTask()
    guard data.dataDir != nil || trainFile != nil else {
      throw ValidationError("--data-dir or --train-file is needed")
    }
    let names = method.method.split(separator: "+", omittingEmptySubsequences: false)
    if !names.allSatisfy({ name in MethodCatalogue.entries.contains { $0.name == name } }) {
      throw ValidationError(
        "--method \(method.method): expected \(MethodCatalogue.entries.map(\.name).joined(separator: ", ")), "
          + "or several joined by +")
    }
    guard initAdapter == nil || method.loraPlusRatio == 1 else {
      throw ValidationError("--lora-plus-ratio does not go with --init-adapter: the adapter's options count")
    }
    let isFree = optimizer == OptimizerConfiguration.Kind.adafactor.rawValue && learningRate == nil
    guard !isFree || method.loraPlusRatio == 1 && names.count == 1 else {
      throw ValidationError("--optimizer adafactor needs a --learning-rate where rates differ")
    }
    guard !scaleParameter || optimizer == OptimizerConfiguration.Kind.adafactor.rawValue && learningRate != nil else {
      throw ValidationError("--scale-parameter goes with --optimizer adafactor and a --learning-rate")
    }
    _ = try rates()
    if let preset, !Preset.names.contains(preset) {
      throw ValidationError("--preset \(preset): expected \(Preset.names.joined(separator: ", "))")
    }
  }

  /// `--learning-rate-of`.
  func rates() throws -> [String: Double] {
    try MethodFlags.pairs(learningRateOf, flag: "--learning-rate-of") { text in
      Double(text).flatMap { $0 >= 0 && $0.isFinite ? $0 : nil }
    }
  }

  func methodRequest() throws -> MethodRequest {
    try MethodRequest(method.method, rate: learningRate, rateOf: rates())
  }

  func run() throws {
    try method.requireUsed()
    let outcome = try watch.run(leaf.products) { try TrainRun(self, world: $0).run() }
    if outcome == .stopped { throw ExitCode(75) }
  }
}
