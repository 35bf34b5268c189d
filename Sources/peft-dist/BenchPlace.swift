import CKernels
import ArgumentParser
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import Models
import NN
import Synchronization
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
  private let ceilings = Ceilings()

  /// - Parameter packsHead: as in `Workplace`.
  init(_ flags: BenchFlags, _ leaf: LeafFlags, packsHead: Bool = false, world: World) throws {
    (self.flags, self.leaf, self.world) = (flags, leaf, world)
    let folder = try Self.modelFolder(flags, world)
    model = try ModelCatalogue.load(folder)
    workers = try LeafPool(threadCount: leaf.threadsPerRank ?? CPUAffinity.usableCoreCount)
    weights = try Workplace.weights(
      of: model, leaf.arithmetic, folder: folder, cache: DataFlags.cacheFolder(flags.cacheDir),
      packsHead: packsHead, over: world)
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

  /// Measures what bounds the speed, all workers of all ranks at once. Called between what is measured, as clocks and
  /// neighbours change.
  func takeCeilings() throws {
    let (threads, kind) = (workers.threadCount, leaf.arithmetic == .bf16 ? OPERAND_BF16 : OPERAND_FP32)
    func rate(_ body: @escaping @Sendable () -> Double) throws -> Double {
      try world.barrier()
      let watch = Stopwatch()
      let total = Mutex(0.0)
      workers.run(count: threads) { _, _ in
        MatrixBackend.prepareThread()
        let work = body()
        total.withLock { $0 += work }
      }
      try workers.wait()
      try world.barrier()
      return total.withLock { $0 } * Double(world.size) / watch.seconds / 1e9
    }
    ceilings.peaks.append(try rate { k_arithmetic_peak(kind, 2_000_000) })
    let (m, n, k, repeats) = (480, 512, 512, 40)
    let (isPacked, isPanels) = (leaf.arithmetic == .bf16 && MatrixBackend.active == .oneDNN, weights.panelFormat)
    ceilings.products.append(
      try rate {
        let (a, b, c) = (Tensor(zeros: [m, k]), Tensor(zeros: [n, k]), Tensor(zeros: [m, n]))
        if isPacked, let weight = try? PackedMatrix(b, transposed: true, k: k, n: n) {
          a.withBits { bits in for _ in 0..<repeats { weight.multiply(bits, rows: m, into: c.pointer) } }
        } else if let format = isPanels {
          let weight = PanelMatrix(b, format: format, in: BufferPool())
          for _ in 0..<repeats { weight.multiply(a, into: c) }
        } else {
          for _ in 0..<repeats { multiply(Matrix(a), Matrix(b, transposed: true), into: Matrix(c), m: m, n: n, k: k) }
        }
        return 2 * Double(m * n * k * repeats)
      })
  }

  /// Prints one JSON object on rank 0: `members`, and what every measurement has.
  ///
  /// - Parameters:
  ///   - work: useful floating-point operations of `seconds`.
  func report(_ members: [String: JSON], work: Double, seconds: Double) throws {
    while ceilings.peaks.count < 3 { try takeCeilings() }
    func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    let (peak, ceiling) = (median(ceilings.peaks), median(ceilings.products))
    let memory = try world.gatherAtAll("\(ProcessMemory.peakMegabytes) \(ProcessMemory.proportionalMegabytes)")
    guard world.isFirst else { return }
    let rate = work / seconds / 1e9
    let own: [String: JSON] = [
      "ranks": .integer(world.size), "threads_per_rank": .integer(workers.threadCount),
      "precision": .string(leaf.precision), "model": .string(flags.model ?? "\(flags.shape) shape"),
      "useful_gflops": Self.rounded(rate, 10), "arithmetic_peak_gflops": Self.rounded(peak, 10),
      "share_of_peak": Self.rounded(rate / peak, 1e4), "matrix_ceiling_gflops": Self.rounded(ceiling, 10),
      "share_of_ceiling": Self.rounded(rate / ceiling, 1e4), "matrix_backend": .string(MatrixBackend.identity),
      "kernels": .string(String(cString: kernels_name(kernels_selected()))),
      "cpu": .string(ProcessorFeatures.read().model),
      "peak_rss_mb": .array(memory.map { .integer(Int($0.split(separator: " ")[0]) ?? 0) }),
      "pss_mb": .array(memory.map { .integer(Int($0.split(separator: " ")[1]) ?? 0) }),
    ]
    print(JSON.object(own.merging(members) { $1 }).encoded(.indented))
  }

  nonisolated static func rounded(_ value: Double, _ digits: Double) -> JSON {
    .double((value * digits).rounded() / digits)
  }
}

/// What bounds the speed of a measurement, in GFLOP/s, each time it was looked at.
@MainActor
final class Ceilings {
  /// Of independent fused operations.
  var peaks: [Double] = []
  /// Of the products that training is made of.
  var products: [Double] = []
}
