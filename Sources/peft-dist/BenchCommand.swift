import ArgumentParser
import Checkpoints
import Diagnostics
import NN
import PEFTMethods
import Tasks
import TensorCore
import Training

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure training, generation or evaluation: rates, share of the machine's matrix rate, memory.",
    discussion: """
      The share compares useful arithmetic (real and virtual tokens once, in the last layer of a GPT-2 or BERT only those
      that are read, no recomputation) with what the matrix library
      reaches on all workers at once, measured in the same process. Prints one JSON object.

        mpirun -n 2 peft-dist bench --shape small --method prompt-tuning --data-file train.jsonl --tokenizer t5-small
        peft-dist bench generate --num-beams 4
        peft-dist bench evaluate --data-file test.jsonl --tokenizer t5-small
      """,
    subcommands: [
      BenchTrainCommand.self, BenchGenerateCommand.self, BenchEvaluateCommand.self, BenchProductsCommand.self,
    ],
    defaultSubcommand: BenchTrainCommand.self)
}

/// Training steps: forward, backward, reduction, update. Dropout is off.
struct BenchTrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Training steps (the default): examples and source tokens per second.")

  @OptionGroup(title: "Model and data") var bench: BenchFlags
  @Option(help: ArgumentHelp("Cut sources after this many tokens.", valueName: "tokens"))
  var maxSourceLength = 256
  @Option(help: ArgumentHelp("Cut targets after this many tokens.", valueName: "tokens"))
  var maxTargetLength = BenchPlace.defaultTargetLength
  @Option(help: ArgumentHelp("Decoder-only models: loss on the target, or all tokens.", valueName: "target|all"))
  var lossOn = LossScope.target
  @Option(help: ArgumentHelp("Examples of one step.", valueName: "n"))
  var globalBatchSize = 32
  @Option(help: ArgumentHelp("Steps that count.", valueName: "n"))
  var steps = 6
  @Option(help: ArgumentHelp("Steps before them.", valueName: "n"))
  var warmup = 1
  @OptionGroup(title: "Method") var method: MethodFlags
  @OptionGroup(title: "Leaves") var leaf: LeafFlags

  func validate() throws {
    try OptionRanges.check(
      [
        ("--steps", steps, 1), ("--warmup", warmup, 0), ("--global-batch-size", globalBatchSize, 1),
        ("--max-source-length", maxSourceLength, 2), ("--max-target-length", maxTargetLength, 1),
      ], most: DataFlags.lengths.upperBound)
  }

  func run() throws {
    try bench.run(leaf.products) { world in try measure(BenchPlace(bench, leaf, world: world)) }
  }

  @MainActor
  private func measure(_ place: BenchPlace) throws {
    let options = try method.options(textIDs: { _ in [] }, wordIDs: { _ in [] }, labelIDs: [])
    let tuned = try MethodRequest(method.method).make(options, place.model, seed: 42)
    let engine = GradientEngine(
      evaluator: LeafEvaluator(model: place.model, method: tuned, weights: place.weights), world: place.world,
      workers: place.workers)
    let optimizer = makeOptimizer(
      OptimizerConfiguration(), shapes: tuned.parameters.map(\.shape), weightDecays: tuned.parameters.map { _ in 0.01 })
    let examples = try place.examples(
      (steps + warmup) * globalBatchSize, maxSourceLength: maxSourceLength, maxTargetLength: maxTargetLength,
      trainsOnSource: lossOn == .all)
    var seconds: [Double] = []
    var tokens = 0
    var work = 0.0
    var loss = 0.0
    for step in 0..<warmup + steps {
      let members = Array(examples[step * globalBatchSize..<(step + 1) * globalBatchSize])
      try place.world.barrier()
      let watch = Stopwatch()
      let leaves = LeafPlanner.leaves(
        costs: members.map { $0.source.count + $0.target.count + tuned.virtualTokenCount },
        leafTokens: (leaf.leafTokens ?? place.model.description.leafTokens)
      ).map { leaf in LeafBatch(leaf.map { members[$0] }) }
      let targets = members.reduce(0) { $0 + $1.target.count }
      if case .done(let sum) = try engine.compute(
        leaves: leaves, gradientScale: 1 / Float(targets), dropout: nil)
      {
        loss = sum / Double(targets)
      }
      optimizer.update(
        parameters: tuned.parameters.map(\.value), gradients: engine.gradients,
        rates: tuned.parameters.map { _ in 1e-3 })
      try place.world.barrier()
      guard step >= warmup else { continue }
      seconds.append(watch.seconds)
      try place.takeCeilings()
      // A decoder reads its targets too.
      let readsTargets = place.model.description.kind == .decoder
      tokens += members.reduce(0) { $0 + $1.source.count + (readsTargets ? $1.target.count : 0) }
      work += UsefulWork(training: members, place.model.description, tuned).floatingPointOperations
    }
    let buffers = try place.world.gatherAtAll("\(engine.bufferByteCount >> 20)").compactMap { Int($0) }
    let median = seconds.sorted()[seconds.count / 2]
    let total = seconds.reduce(0, +)
    try place.report(
      [
        "method": .string(method.method), "global_batch_size": .integer(globalBatchSize),
        "max_source_length": .integer(maxSourceLength),
        "leaf_tokens": .integer((leaf.leafTokens ?? place.model.description.leafTokens)),
        "seconds_per_step": BenchPlace.rounded(median, 1e4),
        "examples_per_second": BenchPlace.rounded(Double(globalBatchSize) / median, 1e3),
        "source_tokens_per_second": BenchPlace.rounded(Double(tokens) / total, 10),
        "activation_buffers_mb": .array(buffers.map { .integer($0) }),
        "final_loss": BenchPlace.rounded(loss, 1e5),
      ], work: work, seconds: total)
  }
}
