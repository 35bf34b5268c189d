import ArgumentParser
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import Models
import NN
import PEFTMethods
import Tasks
import TensorCore
import Tokenization
import Training

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure training: step time, tokens/s, share of the machine's matrix rate, memory.",
    discussion: """
      The share compares useful arithmetic (real and virtual tokens once, no recomputation) with what the matrix library
      reaches on all workers at once, measured in the same process. Dropout is off. Prints one JSON object.

        mpirun -n 2 peft-dist bench --shape small --method prompt-tuning --data-file train.jsonl --tokenizer t5-small
      """)

  @Option(help: ArgumentHelp("Folder of a checkpoint; without it, --shape with random weights.", valueName: "dir"))
  var model: String?
  @Option(help: ArgumentHelp("Shape of a T5 with random weights: small or base.", valueName: "name"))
  var shape = "small"
  @Option(help: ArgumentHelp("IMDb-style JSONL to take examples from; without it, random ids.", valueName: "file"))
  var dataFile: String?
  @Option(help: ArgumentHelp("Folder with the spiece.model for --data-file (default: --model).", valueName: "dir"))
  var tokenizer: String?
  @Option(help: ArgumentHelp("Cut sources after this many tokens.", valueName: "tokens"))
  var maxSourceLength = 256
  @Option(help: ArgumentHelp("Examples of one step.", valueName: "n"))
  var globalBatchSize = 32
  @Option(help: ArgumentHelp("Steps that count.", valueName: "n"))
  var steps = 6
  @Option(help: ArgumentHelp("Steps before them.", valueName: "n"))
  var warmup = 1
  @Option(
    help: ArgumentHelp("Folder for the random checkpoint (default: $XDG_CACHE_HOME/peft-dist).", valueName: "dir"))
  var cacheDir: String?
  @OptionGroup(title: "Method") var method: MethodFlags
  @OptionGroup(title: "Leaves") var leaf: LeafFlags

  func validate() throws {
    guard ["small", "base"].contains(shape) else { throw ValidationError("--shape \(shape): expected small or base") }
    guard steps >= 1, warmup >= 0, globalBatchSize >= 1, maxSourceLength >= 2 else {
      throw ValidationError("--steps, --global-batch-size and --max-source-length must be positive")
    }
    guard dataFile == nil || tokenizer != nil || model != nil else {
      throw ValidationError("--data-file needs --tokenizer or --model")
    }
  }

  func run() throws {
    try MainActor.assumeIsolated {
      try World.run { world in
        RunLog.isQuiet = !world.isFirst
        try agreeOnKernels(over: world)
        try measure(world)
      }
    }
  }

  @MainActor
  private func measure(_ world: World) throws {
    let folder = try modelFolder(world)
    let base = try ModelCatalogue.load(folder)
    let workers = try LeafPool(threadCount: leaf.threadsPerRank ?? CPUAffinity.cores().count)
    let weights = try Workplace.weights(
      of: base, leaf.arithmetic, folder: folder, cache: DataFlags.cacheFolder(cacheDir))
    let options = try method.options(textIDs: { _ in [] }, labelIDs: [])
    let tuned = try MethodRequest(method.method).make(options, base, seed: 42)
    let engine = GradientEngine(
      evaluator: LeafEvaluator(model: base, method: tuned, weights: weights), world: world, workers: workers)
    let optimizer = makeOptimizer(
      OptimizerConfiguration(), shapes: tuned.parameters.map(\.shape), weightDecays: tuned.parameters.map { _ in 0.01 })
    let examples = try self.examples(base)
    var seconds: [Double] = []
    var tokens = 0
    var work = 0.0
    var loss = 0.0
    for step in 0..<warmup + steps {
      let members = Array(examples[step * globalBatchSize..<(step + 1) * globalBatchSize])
      try world.barrier()
      let watch = Stopwatch()
      let leaves = LeafPlanner.leaves(
        costs: members.map { $0.source.count + $0.target.count + tuned.virtualTokenCount },
        leafTokens: leaf.leafTokens
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
      try world.barrier()
      guard step >= warmup else { continue }
      seconds.append(watch.seconds)
      tokens += members.reduce(0) { $0 + $1.source.count }
      work += UsefulWork(base.description, tuned, members).floatingPointOperations
    }
    let ceiling = try Self.matrixRate(workers: workers, world: world, isPacked: leaf.arithmetic == .bf16)
    let buffers = try world.gatherAtAll("\(engine.bufferByteCount >> 20)").compactMap { Int($0) }
    try report(
      world, workers: workers, buffers: buffers, seconds: seconds, tokens: tokens, work: work, ceiling: ceiling,
      loss: loss)
  }

  @MainActor
  private func report(
    _ world: World, workers: LeafPool, buffers: [Int], seconds: [Double], tokens: Int, work: Double, ceiling: Double,
    loss: Double
  ) throws {
    let median = seconds.sorted()[seconds.count / 2]
    let memory = try world.gatherAtAll("\(ProcessMemory.peakMegabytes) \(ProcessMemory.proportionalMegabytes)")
    guard world.isFirst else { return }
    let total = seconds.reduce(0, +)
    func rounded(_ value: Double, _ digits: Double) -> JSON { .double((value * digits).rounded() / digits) }
    let members: [String: JSON] = [
      "ranks": .integer(world.size), "threads_per_rank": .integer(workers.threadCount),
      "method": .string(method.method), "precision": .string(leaf.precision),
      "model": .string(model ?? "t5-\(shape) shape"), "global_batch_size": .integer(globalBatchSize),
      "max_source_length": .integer(maxSourceLength), "leaf_tokens": .integer(leaf.leafTokens),
      "seconds_per_step": rounded(median, 1e4), "examples_per_second": rounded(Double(globalBatchSize) / median, 1e3),
      "source_tokens_per_second": rounded(Double(tokens) / total, 10),
      "useful_gflops": rounded(work / total / 1e9, 10), "matrix_ceiling_gflops": rounded(ceiling, 10),
      "share_of_ceiling": rounded(work / total / 1e9 / ceiling, 1e4), "matrix_backend": .string(MatrixBackend.identity),
      "peak_rss_mb": .array(memory.map { .integer(Int($0.split(separator: " ")[0]) ?? 0) }),
      "pss_mb": .array(memory.map { .integer(Int($0.split(separator: " ")[1]) ?? 0) }),
      "activation_buffers_mb": .array(buffers.map { .integer($0) }), "final_loss": rounded(loss, 1e5),
    ]
    print(JSON.object(members).encoded(.indented))
  }

  // MARK: Inputs

  /// The checkpoint, or one of the wanted shape with random weights, made once and kept in the cache.
  @MainActor
  private func modelFolder(_ world: World) throws -> ModelFolder {
    if let model { return try ModelFolder(URL(fileURLWithPath: model)) }
    let url = DataFlags.cacheFolder(cacheDir).appendingPathComponent("bench/t5-\(shape)")
    if world.isFirst, !FileManager.default.fileExists(atPath: url.appendingPathComponent("model.safetensors").path) {
      try writeRandomCheckpoint(to: url)
    }
    try world.barrier()
    return try ModelFolder(url)
  }

  private func writeRandomCheckpoint(to url: URL) throws {
    let (width, wide, layers, heads) = shape == "base" ? (768, 3072, 12, 12) : (512, 2048, 6, 8)
    let config: JSON = [
      "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 32128,
      "d_model": .integer(width), "d_kv": 64, "d_ff": .integer(wide), "num_layers": .integer(layers),
      "num_heads": .integer(heads), "dropout_rate": 0.0, "feed_forward_proj": "relu", "decoder_start_token_id": 0,
      "pad_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": true,
    ]
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    try AtomicFile.write(config, to: url.appendingPathComponent("config.json"))
    let shapes = T5.weightShapes(
      try T5Configuration(JSONObject(file: url.appendingPathComponent("config.json")), generation: nil),
      hasOwnHead: false)
    let tensors = shapes.enumerated().map { index, entry -> (String, Tensor) in
      guard entry.shape.count > 1 else {
        let ones = Tensor(zeros: entry.shape)
        ones.fill(1)
        return (entry.name, ones)
      }
      let deviation = entry.name == "shared.weight" ? 1 : 1 / Double(entry.shape[1]).squareRoot()
      return (
        entry.name,
        Initialization.uniform(
          entry.shape, bound: deviation, CounterGenerator(seed: 1, purpose: .bench, site: UInt32(index)))
      )
    }
    try SafetensorsWriter.write(tensors: tensors, to: url.appendingPathComponent("model.safetensors"))
  }

  private func examples(_ base: any LanguageModel) throws -> [EncodedExample] {
    let count = (steps + warmup) * globalBatchSize
    guard let dataFile else {
      let generator = CounterGenerator(seed: 7, purpose: .bench)
      return (0..<count).map { index in
        let length = maxSourceLength / 2 + generator.integer(at: UInt64(index), below: maxSourceLength / 2 + 1)
        let ids = (0..<length).map { position in
          Int32(
            2 + generator.integer(at: UInt64(index << 20 + position + 1), below: base.description.vocabularySize - 2))
        }
        return EncodedExample(index: index, source: ids, target: [2, 1], uncutSourceLength: length)
      }
    }
    let folder = URL(fileURLWithPath: tokenizer ?? model ?? ".")
    let task = IMDbTask(options: TextOptions(lowercase: true, stripHTML: true))
    let texts = try task.examples(at: URL(fileURLWithPath: dataFile))
    guard texts.count >= count else {
      throw TrainingError.tooFewExamples(examples: texts.count, ranks: count, source: dataFile)
    }
    let dataset = EncodedDataset(
      onDemand: texts, tokenizer: try T5Tokenizer(folder: folder),
      limits: LengthLimits(source: maxSourceLength, target: 8))
    return (0..<count).map { dataset[$0] }
  }

  /// GFLOP/s of the products training is made of, all workers of all ranks at once.
  @MainActor
  private static func matrixRate(workers: LeafPool, world: World, isPacked: Bool) throws -> Double {
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
          let room = Tensor(zeros: [PackedMatrix.byteCount(k: k, n: n) / 4 + 16])
          let base = UnsafeMutableRawPointer(room.pointer).alignedUp(toMultipleOf: 64)
          try PackedMatrix.pack(b, transposed: true, k: k, n: n, into: base)
          let weight = try PackedMatrix(packed: base, k: k, n: n, owner: room.storage)
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

/// The arithmetic a step cannot do without: products of real and virtual tokens with weights, and attention.
struct UsefulWork {
  let floatingPointOperations: Double

  init(_ model: ModelDescription, _ method: any PEFTMethod, _ members: [EncodedExample]) {
    let sources = members.map { Double($0.source.count + method.virtualTokenCount) }
    let targets = members.map { Double($0.target.count) }
    let (source, target) = (sources.reduce(0, +), targets.reduce(0, +))
    var products = 0.0
    for linear in model.linears {
      let readsSource =
        linear.path.hasPrefix("encoder.") || linear.path.hasSuffix("EncDecAttention.k")
        || linear.path.hasSuffix("EncDecAttention.v")
      products += 2 * Double(linear.weight.count) * (readsSource ? source : target)
    }
    // Scores and context: two products of [queries, keys] by the width of a layer's heads.
    let width = Double(model.linears.first?.outputSize ?? 0)
    let encoderPairs = sources.reduce(0) { $0 + $1 * $1 }
    let decoderPairs = zip(sources, targets).reduce(0) { $0 + $1.1 * $1.1 / 2 + $1.1 * $1.0 }
    let attention =
      4 * width * (Double(model.layerCount) * encoderPairs + Double(model.decoderLayerCount) * decoderPairs)
    // Backward: inputs' gradients cost each product once more, a trained weight's gradient once again.
    let isFull = method.name == "full"
    floatingPointOperations = products * (isFull ? 3 : 2) + attention * 3
  }
}

/// Memory of this process as the kernel counts it.
enum ProcessMemory {
  static var peakMegabytes: Int { kilobytes("/proc/self/status", "VmHWM:") / 1024 }
  /// Pages shared with other processes count in parts.
  static var proportionalMegabytes: Int { kilobytes("/proc/self/smaps_rollup", "Pss:") / 1024 }

  private static func kilobytes(_ path: String, _ key: String) -> Int {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix(key) })
    else { return 0 }
    return line.split(separator: " ", omittingEmptySubsequences: true).compactMap { Int($0) }.first ?? 0
  }
}
