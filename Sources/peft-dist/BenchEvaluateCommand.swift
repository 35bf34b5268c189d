import ArgumentParser
import Checkpoints
import Diagnostics
import NN
import Tasks
import Training

/// Evaluation on IMDb: the loss of the label and an answer of two tokens for each review.
struct BenchEvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Evaluation on --data-file: examples and source tokens per second.")

  @OptionGroup(title: "Model and data") var bench: BenchFlags
  @Option(help: ArgumentHelp("Cut sources after this many tokens.", valueName: "tokens"))
  var maxSourceLength = 256
  @Option(help: ArgumentHelp("Examples of one round.", valueName: "n"))
  var examples = 192
  @Option(help: ArgumentHelp("Rounds that count, after one that does not.", valueName: "n"))
  var repeats = 3
  @OptionGroup(title: "Leaves") var leaf: LeafFlags

  private static let answerLength = 2

  func validate() throws {
    guard bench.dataFile != nil else { throw ValidationError("--data-file is needed") }
    try OptionRanges.check([
      ("--examples", examples, 1), ("--repeats", repeats, 1), ("--max-source-length", maxSourceLength, 2),
    ])
  }

  func run() throws {
    try bench.run(leaf.products) { world in try measure(BenchPlace(bench, leaf, world: world)) }
  }

  @MainActor
  private func measure(_ place: BenchPlace) throws {
    let dataset = try place.dataset(examples, maxSourceLength: maxSourceLength)
    let task = try place.task()
    let set = EvaluationSet(dataset: dataset, examples: Array(0..<examples), metrics: task.metrics)
    let lengths = dataset.lengths(of: set.examples).map(\.source)
    var options = GenerationOptions(eosIDs: place.model.description.eosIDs)
    options.maxNewTokens = Self.answerLength
    let evaluation = Evaluation(
      evaluator: LeafEvaluator(model: place.model, method: FrozenBase(), weights: place.weights), world: place.world,
      workers: place.workers, tokenizer: try place.tokenizer(),
      leafTokens: (leaf.leafTokens ?? place.model.description.leafTokens), generation: options)
    var seconds: [Double] = []
    var loss = 0.0
    for _ in 0...repeats {
      try place.world.barrier()
      guard let report = try evaluation.evaluate(set) else { throw ExitCode(75) }
      seconds.append(report.seconds)
      loss = report.loss
    }
    let median = seconds.dropFirst().sorted()[repeats / 2]
    let work = UsefulWork(decoding: lengths, tokens: Self.answerLength, beams: 1, place.model.description)
    try place.report(
      [
        "examples": .integer(examples), "max_source_length": .integer(maxSourceLength),
        "answer_tokens": .integer(Self.answerLength),
        "leaf_tokens": .integer((leaf.leafTokens ?? place.model.description.leafTokens)),
        "seconds": BenchPlace.rounded(median, 1e4),
        "examples_per_second": BenchPlace.rounded(Double(examples) / median, 1e3),
        "source_tokens_per_second": BenchPlace.rounded(Double(lengths.reduce(0, +)) / median, 10),
        "loss": BenchPlace.rounded(loss, 1e5),
      ], work: work.floatingPointOperations, seconds: median)
  }
}
