import Collectives
import Diagnostics
import NN
import Synchronization
import Tasks
import TensorCore
import Tokenization

/// What the evaluation of a model on a set of examples found.
public struct EvaluationReport: Sendable {
  public let exampleCount: Int
  /// Mean over the target tokens.
  public let loss: Double
  /// Name and value, such as `accuracy`; the order in which they are shown.
  public let metrics: [(name: String, value: Double)]
  /// In data order, on every rank; empty unless asked for.
  public let predictions: [Prediction]
  public let seconds: Double

  public func value(of metric: String) -> Double? {
    metric == "loss" ? loss : metrics.first { $0.name == metric }?.value
  }

  /// `accuracy 0.7260, f1 0.7311, loss 0.2826`
  public var summary: String {
    (metrics.map { "\($0.name) \(ReadableNumbers.loss($0.value))" } + ["loss \(ReadableNumbers.loss(loss))"])
      .joined(separator: ", ")
  }
}

public struct Prediction: Sendable, Equatable {
  /// Index in the data set.
  public let example: Int
  public let prediction: String
  public let target: String
  public var correct: Bool { prediction == target }
}

/// Examples to judge by.
public struct EvaluationSet: Sendable {
  public let dataset: EncodedDataset
  /// Indices into the data set, ascending.
  public let examples: [Int]
  /// Label words; empty for free text.
  public let labels: [String]

  public init(dataset: EncodedDataset, examples: [Int], labels: [String]) {
    self.dataset = dataset
    self.examples = examples
    self.labels = labels
  }
}

/// Evaluates in leaves spread over all ranks, each example exactly once.
///
/// Leaves are runs of consecutive examples, a pure function of data order and lengths; counts are added as integers and
/// losses in fixed point, so every layout of ranks and threads gives the same metrics and predictions.
@MainActor
public final class Evaluation {
  private let evaluator: LeafEvaluator
  private let world: World?
  private let dispatch: LeafDispatch
  private let pools: [BufferPool]
  private let panels = WeightPanels()
  /// Answers of at least this many tokens are worth a packed copy of the decoder.
  private static let tokensThatPayForPanels = 16
  private let tokenizer: any Tokenizer
  private let leafTokens: Int
  private let generation: GenerationOptions

  /// - Parameters:
  ///   - leafTokens: that of training; evaluation leaves, which keep no activations, are larger.
  ///   - generation: how answers are generated.
  public init(
    evaluator: LeafEvaluator, world: World?, workers: LeafPool, tokenizer: any Tokenizer, leafTokens: Int,
    generation: GenerationOptions
  ) {
    self.evaluator = evaluator
    self.world = world
    dispatch = LeafDispatch(world: world, workers: workers)
    self.tokenizer = tokenizer
    self.leafTokens = leafTokens
    self.generation = generation
    pools = (0..<workers.threadCount).map { _ in BufferPool() }
  }

  /// Sums over leaves.
  private struct Totals: Sendable {
    var counts: [Int64]
    var predictions: [Prediction] = []
  }
  /// Positions in `Totals.counts` before the classification cells.
  private enum Word: Int, CaseIterable {
    case loss, targets, exact, nonFinite
  }

  /// Leaves go to whatever rank has a worker free. ``StopRequest`` on any rank breaks the evaluation off on all: nil.
  ///
  /// - Parameters:
  ///   - generatesFreeText: whether answers are generated for a task without labels too.
  ///   - keepsPredictions: whether the report holds every answer.
  public func evaluate(
    _ set: EvaluationSet, generatesFreeText: Bool = false, keepsPredictions: Bool = false,
    progressName: String? = nil, onPoll: () throws -> Void = {}
  ) throws -> EvaluationReport? {
    let watch = Stopwatch()
    let leaves = Self.leaves(set, leafTokens: leafTokens)
    let costs = leaves.map { leaf in leaf.reduce(0) { $0 + set.dataset.lengths(at: $1).source + 1 } }
    let progress = progressName.map { ProgressBar(name: $0, total: leaves.count) }
    let labelCount = set.labels.count
    let cellCount = labelCount == 0 ? 0 : labelCount * (labelCount + 1)
    let totals = Mutex(Totals(counts: Array(repeating: 0, count: Word.allCases.count + cellCount)))
    let job = LeafJob(
      evaluator: evaluator, sites: evaluator.sites(pool: BufferPool()), set: set, tokenizer: tokenizer,
      matching: AnswerMatching(labels: set.labels), generation: generation,
      panels: generation.maxNewTokens >= Self.tokensThatPayForPanels ? panels : nil,
      generates: labelCount > 0 || generatesFreeText || keepsPredictions)
    let ending = try dispatch.run(
      order: LeafPlanner.order(costs: costs), shouldStop: { StopRequest.isPending },
      onPoll: {
        try onPoll()
        progress?.update(step: dispatch.handedOutCount)
      }
    ) { [pools] worker, leaf in
      MatrixBackend.prepareThread()
      let found = job.run(leaves[leaf], pool: pools[worker])
      totals.withLock { totals in
        Self.add(found, labelCount: labelCount, keepsPredictions: keepsPredictions, to: &totals)
      }
    }
    progress?.finish()
    guard ending == .complete else { return nil }
    var sums = totals.withLock { $0 }
    if let world {
      try world.reduce(&sums.counts, .sum)
      if keepsPredictions { sums.predictions = try Self.gather(sums.predictions, over: world) }
    }
    return report(sums, set: set, generated: job.generates, seconds: watch.seconds)
  }

  private func report(_ totals: Totals, set: EvaluationSet, generated: Bool, seconds: Double) -> EvaluationReport {
    func count(_ word: Word) -> Int64 { totals.counts[word.rawValue] }
    let targets = Double(max(count(.targets), 1))
    let loss = count(.nonFinite) > 0 ? Double.nan : FixedPoint.decode(count(.loss)) / targets
    var metrics: [(String, Double)] = []
    if !set.labels.isEmpty {
      let cells = ClassificationCounts(
        labelCount: set.labels.count, cells: totals.counts.dropFirst(Word.allCases.count).map(Int.init))
      metrics = [
        ("accuracy", cells.accuracy), ("f1", cells.f1(set.labels.count == 2 ? .binary : .macro)),
        ("no_label_share", cells.unansweredShare),
      ]
    } else if generated {
      metrics = [("exact_match", Double(count(.exact)) / Double(max(set.examples.count, 1)))]
    }
    return EvaluationReport(
      exampleCount: set.examples.count, loss: loss, metrics: metrics,
      predictions: totals.predictions.sorted { $0.example < $1.example }, seconds: seconds)
  }

  /// Runs of consecutive examples of at least one example and, beyond that, at most a number of source tokens: a sixteenth
  /// of all, so that there are leaves for several workers, but not below 4 times `leafTokens` nor above 32 times, as every
  /// decoding step of a leaf reads all weights of the decoder.
  static func leaves(_ set: EvaluationSet, leafTokens: Int) -> [[Int]] {
    let lengths = set.examples.map { set.dataset.lengths(at: $0).source }
    let most = min(max(lengths.reduce(0, +) / 16, 4 * leafTokens), 32 * leafTokens)
    var leaves: [[Int]] = []
    var tokens = Int.max
    for (example, length) in zip(set.examples, lengths) {
      if tokens > most - length {
        leaves.append([])
        tokens = 0
      }
      leaves[leaves.count - 1].append(example)
      tokens += length
    }
    return leaves
  }

  private static nonisolated func add(
    _ found: LeafJob.Findings, labelCount: Int, keepsPredictions: Bool, to totals: inout Totals
  ) {
    if let loss = FixedPoint.encode(found.lossSum) {
      totals.counts[Word.loss.rawValue] += loss
    } else {
      totals.counts[Word.nonFinite.rawValue] += 1
    }
    totals.counts[Word.targets.rawValue] += Int64(found.targetCount)
    totals.counts[Word.exact.rawValue] += Int64(found.predictions.count(where: \.correct))
    for (expected, predicted) in found.labels {
      let column = predicted ?? labelCount
      totals.counts[Word.allCases.count + expected * (labelCount + 1) + column] += 1
    }
    if keepsPredictions { totals.predictions += found.predictions }
  }

  /// Every rank's predictions at every rank; texts travel as UTF-8 between zero bytes.
  private static func gather(_ predictions: [Prediction], over world: World) throws -> [Prediction] {
    let fields = predictions.flatMap { ["\($0.example)", $0.prediction, $0.target] }
    let all = try world.gatherAtAll(fields.map { $0.replacing("\0", with: " ") }.joined(separator: "\0"))
    return all.filter { !$0.isEmpty }.flatMap { text in
      let fields = text.split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
      return stride(from: 0, to: fields.count - 2, by: 3).compactMap { first in
        Int(fields[first]).map { Prediction(example: $0, prediction: fields[first + 1], target: fields[first + 2]) }
      }
    }
  }
}

/// The evaluation of one leaf, on a worker.
private struct LeafJob: Sendable {
  let evaluator: LeafEvaluator
  let sites: [Tensor]
  let set: EvaluationSet
  let tokenizer: any Tokenizer
  let matching: AnswerMatching
  let generation: GenerationOptions
  let panels: WeightPanels?
  let generates: Bool

  struct Findings {
    var lossSum = 0.0
    var targetCount = 0
    /// Expected and answered label of each example.
    var labels: [(Int, Int?)] = []
    var predictions: [Prediction] = []
  }

  func run(_ leaf: [Int], pool: BufferPool) -> Findings {
    let members = leaf.map { set.dataset[$0] }
    let batch = LeafBatch(members)
    let pass = evaluator.inferencePass(sites: sites, pool: pool, panels: panels)
    let state = evaluator.model.startDecoding(
      sources: batch.sources, examples: batch.examples, maxNewTokens: generation.maxNewTokens,
      beamCount: generation.beamCount, pass)
    var found = Findings()
    found.lossSum = state.lossSum(labels: batch.labels, pass)
    found.targetCount = batch.targetCount
    guard generates else { return found }
    let answers = SequenceGenerator(generation).generate(state, examples: batch.examples, pass)
    for (member, answer) in zip(members, answers) {
      let text = tokenizer.decode(answer.first?.answer ?? [], skippingSpecialTokens: true)
      let prediction = generation.stops?.cut(text) ?? text
      let target = tokenizer.decode(member.target, skippingSpecialTokens: true)
      found.predictions.append(Prediction(example: member.index, prediction: prediction, target: target))
      if let expected = matching.label(of: target) {
        found.labels.append((expected, matching.label(of: prediction)))
      }
    }
    return found
  }
}
