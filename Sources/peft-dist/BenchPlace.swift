import ArgumentParser
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import Models
import NN
import Tasks
import TensorCore
import Tokenization
import Training

/// What every measurement is made with: model or shape, data, workers.
struct BenchFlags: ParsableArguments {
  @Option(help: ArgumentHelp("Folder of a checkpoint; without it, --shape with random weights.", valueName: "dir"))
  var model: String?
  @Option(
    help: ArgumentHelp(
      "Shape with random weights: \(BenchShape.allCases.map(\.rawValue).joined(separator: ", ")); small and base are T5's.",
      valueName: "name"))
  var shape = BenchShape.small.rawValue
  @Option(help: ArgumentHelp("File to take examples from; without it, random ids.", valueName: "file"))
  var dataFile: String?
  @Option(help: ArgumentHelp("Task that --data-file is of.", valueName: "name"))
  var task = "imdb"
  @Option(help: ArgumentHelp("Folder with the tokenizer for --data-file (default: --model).", valueName: "dir"))
  var tokenizer: String?
  @Option(
    help: ArgumentHelp("Folder for the random checkpoint (default: $XDG_CACHE_HOME/peft-dist).", valueName: "dir"))
  var cacheDir: String?

  func validate() throws {
    guard BenchShape(rawValue: shape) != nil else {
      throw ValidationError(
        "--shape \(shape): expected \(BenchShape.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard dataFile == nil || tokenizer != nil || model != nil else {
      throw ValidationError("--data-file needs --tokenizer or --model")
    }
  }

  /// Runs `body` in an MPI world with these products.
  func run(_ products: Products?, _ body: @MainActor (World) throws -> Void) throws {
    try MainActor.assumeIsolated {
      try World.run { world in
        RunLog.isQuiet = !world.isFirst
        try chooseKernels(products)
        try body(world)
      }
    }
  }
}

/// A model, its workers, and examples to measure with.
@MainActor
struct BenchPlace {
  /// Most tokens of a target, end-of-sequence included, unless told otherwise.
  nonisolated static let defaultTargetLength = 128

  let flags: BenchFlags
  let leaf: LeafFlags
  let world: World
  let model: any LanguageModel
  let workers: LeafPool
  let weights: FrozenWeights

  init(_ flags: BenchFlags, _ leaf: LeafFlags, world: World) throws {
    (self.flags, self.leaf, self.world) = (flags, leaf, world)
    let folder = try Self.modelFolder(flags, world)
    model = try ModelCatalogue.load(folder)
    workers = try LeafPool(threadCount: leaf.threadsPerRank ?? CPUAffinity.usableCoreCount)
    weights = try Workplace.weights(
      of: model, leaf.arithmetic, folder: folder, cache: DataFlags.cacheFolder(flags.cacheDir), over: world)
  }

  /// The checkpoint, or one of the wanted shape with random weights, made once and kept in the cache.
  private static func modelFolder(_ flags: BenchFlags, _ world: World) throws -> ModelFolder {
    if let model = flags.model { return try ModelFolder(URL(fileURLWithPath: model)) }
    let url = DataFlags.cacheFolder(flags.cacheDir).appendingPathComponent("bench/fresh-\(flags.shape)")
    if world.isFirst, !FileManager.default.fileExists(atPath: url.appendingPathComponent("model.safetensors").path) {
      try (BenchShape(rawValue: flags.shape) ?? .small).model.write(to: url, seed: 1)
    }
    try world.barrier()
    return try ModelFolder(url)
  }

  /// The first examples of the data file; without one random ids, of a length between half of `maxSourceLength` and it, of a
  /// decoder of that length, all of them targets but the first.
  func examples(
    _ count: Int, maxSourceLength: Int, maxTargetLength: Int = defaultTargetLength, trainsOnSource: Bool = false
  ) throws -> [EncodedExample] {
    guard flags.dataFile != nil else {
      let generator = CounterGenerator(seed: 7, purpose: .bench)
      return (0..<count).map { index in
        if model.description.kind == .decoder {
          let ids = randomIDs(maxSourceLength, stream: index)
          return EncodedExample(
            index: index, source: [ids[0]], target: Array(ids.dropFirst()), uncutSourceLength: maxSourceLength)
        }
        let length = maxSourceLength / 2 + generator.integer(at: UInt64(index), below: maxSourceLength / 2 + 1)
        return EncodedExample(
          index: index, source: randomIDs(length, stream: index),
          target: model.description.kind == .classifier ? [Int32(index % 2)] : [2, 1], uncutSourceLength: length)
      }
    }
    let dataset = try dataset(
      count, maxSourceLength: maxSourceLength, maxTargetLength: maxTargetLength, trainsOnSource: trainsOnSource)
    return (0..<count).map { dataset[$0] }
  }

  /// Random ids that end no sequence; another stream has others.
  func randomIDs(_ length: Int, stream: Int) -> [Int32] {
    let generator = CounterGenerator(seed: 7, purpose: .bench)
    return (0..<length).map { position in
      Int32(
        2 + generator.integer(at: UInt64(stream << 20 + position + 1), below: model.description.vocabularySize - 2))
    }
  }

  /// At least `count` examples of the data file, encoded when they are first asked for.
  func dataset(
    _ count: Int, maxSourceLength: Int, maxTargetLength: Int = defaultTargetLength, trainsOnSource: Bool = false
  ) throws -> EncodedDataset {
    let file = URL(fileURLWithPath: flags.dataFile ?? "")
    let texts = try task().examples(at: file)
    guard texts.count >= count else {
      throw TrainingError.tooFewExamples(examples: texts.count, ranks: count, source: file.path)
    }
    return EncodedDataset(
      onDemand: texts, tokenizer: try tokenizer(),
      encoding: ExampleEncoding(
        form: ExampleForm(model.description.kind), source: maxSourceLength, target: maxTargetLength,
        trainsOnSource: trainsOnSource && model.description.kind == .decoder))
  }

  /// The task of the data file, as the model does it.
  func task() throws -> any TextTask {
    try TaskCatalogue.task(
      named: flags.task,
      options: TextOptions(
        lowercase: flags.task == "imdb", stripHTML: flags.task == "imdb", form: ExampleForm(model.description.kind)))
  }

  func tokenizer() throws -> any Tokenizer {
    try TokenizerCatalogue.load(
      folder: URL(fileURLWithPath: flags.tokenizer ?? flags.model ?? "."), modelType: model.description.modelType)
  }

  // MARK: Report

  /// Prints one JSON object on rank 0: `members`, and what every measurement has.
  ///
  /// - Parameters:
  ///   - work: useful floating-point operations of `seconds`.
  func report(_ members: [String: JSON], work: Double, seconds: Double) throws {
    let ceiling = try matrixRate()
    let memory = try world.gatherAtAll("\(ProcessMemory.peakMegabytes) \(ProcessMemory.proportionalMegabytes)")
    guard world.isFirst else { return }
    let own: [String: JSON] = [
      "ranks": .integer(world.size), "threads_per_rank": .integer(workers.threadCount),
      "precision": .string(leaf.precision), "model": .string(flags.model ?? "\(flags.shape) shape"),
      "useful_gflops": Self.rounded(work / seconds / 1e9, 10), "matrix_ceiling_gflops": Self.rounded(ceiling, 10),
      "share_of_ceiling": Self.rounded(work / seconds / 1e9 / ceiling, 1e4),
      "matrix_backend": .string(MatrixBackend.identity),
      "peak_rss_mb": .array(memory.map { .integer(Int($0.split(separator: " ")[0]) ?? 0) }),
      "pss_mb": .array(memory.map { .integer(Int($0.split(separator: " ")[1]) ?? 0) }),
    ]
    print(JSON.object(own.merging(members) { $1 }).encoded(.indented))
  }

  static func rounded(_ value: Double, _ digits: Double) -> JSON { .double((value * digits).rounded() / digits) }

  /// GFLOP/s of the products training is made of, all workers of all ranks at once.
  private func matrixRate() throws -> Double {
    let isPacked = leaf.arithmetic == .bf16 && MatrixBackend.active == .oneDNN
    let (m, n, k, repeats) = (480, 512, 512, 400)
    let threads = workers.threadCount
    var rates: [Double] = []
    for _ in 0..<3 {
      try world.barrier()
      let watch = Stopwatch()
      workers.run(count: threads) { _, _ in
        MatrixBackend.prepareThread()
        let (a, b, c) = (Tensor(zeros: [m, k]), Tensor(zeros: [n, k]), Tensor(zeros: [m, n]))
        if isPacked {
          let weight = try PackedMatrix(b, transposed: true, k: k, n: n)
          a.withBits { bits in for _ in 0..<repeats { weight.multiply(bits, rows: m, into: c.pointer) } }
          return
        }
        for _ in 0..<repeats { multiply(Matrix(a), Matrix(b, transposed: true), into: Matrix(c), m: m, n: n, k: k) }
      }
      try workers.wait()
      try world.barrier()
      rates.append(2 * Double(m * n * k * repeats) * Double(threads * world.size) / watch.seconds / 1e9)
    }
    return rates.max() ?? 0
  }
}
