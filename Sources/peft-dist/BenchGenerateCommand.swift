import ArgumentParser
import Checkpoints
import Collectives
import Diagnostics
import NN
import TensorCore
import Training

/// Generation of answers of a fixed length: the end of a sequence is forbidden.
struct BenchGenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Generation: answers and new tokens per second.",
    discussion: "Sources of equal length, all tokens generated: end-of-sequence is forbidden.")

  @OptionGroup(title: "Model and data") var bench: BenchFlags
  @Option(help: ArgumentHelp("Sources of one round.", valueName: "n"))
  var batchSize = 32
  @Option(help: ArgumentHelp("Tokens of each source.", valueName: "tokens"))
  var sourceLength = 64
  @Option(help: ArgumentHelp("Tokens to generate for each source.", valueName: "tokens"))
  var newTokens = 64
  @Option(help: ArgumentHelp("Hypotheses searched side by side; 1 is greedy decoding.", valueName: "n"))
  var numBeams = 1
  @Option(help: ArgumentHelp("Rounds that count, after one that does not.", valueName: "n"))
  var repeats = 5
  @OptionGroup(title: "Leaves") var leaf: LeafFlags

  func validate() throws {
    try OptionRanges.check([
      ("--batch-size", batchSize, 1), ("--source-length", sourceLength, 1), ("--new-tokens", newTokens, 1),
      ("--num-beams", numBeams, 1), ("--repeats", repeats, 1),
    ])
  }

  func run() throws {
    try bench.run(leaf.products) { world in try measure(BenchPlace(bench, leaf, packsHead: true, world: world)) }
  }

  @MainActor
  private func measure(_ place: BenchPlace) throws {
    let sources = try sources(place)
    var options = GenerationOptions(eosIDs: place.model.description.eosIDs)
    options.maxNewTokens = newTokens
    options.minNewTokens = newTokens
    options.beamCount = numBeams
    let generator = SequenceGenerator(options)
    guard let writer = place.model as? any GenerativeModel else {
      throw ValidationError("--model \(bench.model ?? ""): expected a model that writes text, found a classifier")
    }
    let evaluator = LeafEvaluator(model: place.model, method: FrozenBase(), weights: place.weights)
    let leaves = SequenceGenerator.leaves(count: sources.count, beamCount: numBeams)
    let pools = (0..<place.workers.threadCount).map { _ in BufferPool() }
    let dispatch = LeafDispatch(world: place.world, workers: place.workers)
    var seconds: [Double] = []
    for _ in 0...repeats {
      try place.world.barrier()
      let watch = Stopwatch()
      _ = try dispatch.run(order: Array(leaves.indices)) { worker, leaf in
        MatrixBackend.prepareThread()
        let pass = evaluator.inferencePass(sites: [], pool: pools[worker])
        _ = generator.generate(
          sources: Array(sources[leaves[leaf]]), examples: leaves[leaf].map { UInt32($0) }, model: writer, pass)
      }
      try place.world.barrier()
      seconds.append(watch.seconds)
    }
    let median = seconds.dropFirst().sorted()[repeats / 2]
    let work = UsefulWork(decoding: sources.map(\.count), tokens: newTokens, beams: numBeams, place.model.description)
    try place.report(
      [
        "batch_size": .integer(batchSize), "source_length": .integer(sourceLength), "new_tokens": .integer(newTokens),
        "num_beams": .integer(numBeams), "seconds_per_batch": BenchPlace.rounded(median, 1e4),
        "examples_per_second": BenchPlace.rounded(Double(batchSize) / median, 1e3),
        "new_tokens_per_second": BenchPlace.rounded(Double(batchSize * newTokens) / median, 10),
      ], work: work.floatingPointOperations, seconds: median)
  }

  @MainActor
  private func sources(_ place: BenchPlace) throws -> [[Int32]] {
    guard bench.dataFile != nil else {
      return (0..<batchSize).map { place.randomIDs(sourceLength, stream: $0) }
    }
    return try place.examples(batchSize, maxSourceLength: sourceLength).map(\.source)
  }
}
