import CKernels
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
  /// Mean over the targets; NaN without any.
  public let loss: Double
  /// Name and value, such as `accuracy`; the order in which they are shown.
  public let metrics: [(name: String, value: Double)]
  /// What was answered to each example of the set, in its order, and what was right; empty where nothing was answered.
  public let outcomes: [ExampleOutcome]
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

/// Examples to judge by.
public struct EvaluationSet: Sendable {
  public let dataset: EncodedDataset
  /// Indices into the data set, ascending.
  public let examples: [Int]
  /// What is reported about the answers.
  public let metrics: TaskMetrics
  /// What each of `examples` is judged by; nil where the encoded targets say it: labels, and values of a regression.
  public let expectations: [Expectation]?

  public init(dataset: EncodedDataset, examples: [Int], metrics: TaskMetrics, expectations: [Expectation]? = nil) {
    precondition(
      expectations.map { $0.count == examples.count } ?? true,
      "\(expectations?.count ?? 0) expectations of \(examples.count) examples")
    self.dataset = dataset
    self.examples = examples
    self.metrics = metrics
    self.expectations = expectations
  }
}

/// Evaluates in leaves spread over all ranks, each example exactly once.
///
/// Leaves are runs of consecutive examples, a pure function of data order and lengths; losses are added in fixed point, and
/// metrics are computed from all answers in data order, so every layout of ranks and threads gives the same.
@MainActor
public final class Evaluation {
  private let evaluator: LeafEvaluator
  private let world: World?
  private let dispatch: LeafDispatch
  private let pools: [BufferPool]
  /// Memory of the keys and values of one leaf's sources.
  private static let mostCacheBytes = 512 << 20
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

  /// What the leaves found.
  private struct Totals: Sendable {
    /// By `Word`.
    var counts = [Int64](repeating: 0, count: Word.allCases.count)
    var answers: [(example: Int, answer: Answer)] = []
  }
  private enum Word: Int, CaseIterable {
    case loss, targets, nonFinite
  }

  /// Leaves go to whatever rank has a worker free. ``StopRequest`` on any rank breaks the evaluation off on all: nil.
  ///
  /// - Parameter writesAnswers: whether a model that writes text does so for metrics of free text; labels and values are
  ///   answered in any case.
  public func evaluate(
    _ set: EvaluationSet, writesAnswers: Bool = false, progressName: String? = nil, onPoll: () throws -> Void = {}
  ) throws -> EvaluationReport? {
    let watch = Stopwatch()
    let leaves = Self.leaves(set, leafTokens: leafTokens, model: evaluator.model.description)
    let costs = leaves.map { leaf in leaf.reduce(0) { $0 + set.dataset.lengths(at: $1).source + 1 } }
    let progress = progressName.map { ProgressBar(name: $0, total: leaves.count) }
    let totals = Mutex(Totals())
    let job = LeafJob(
      evaluator: evaluator, sites: evaluator.sites(pool: BufferPool()), set: set, tokenizer: tokenizer,
      generation: generation,
      answers: set.metrics != .tokens && (writesAnswers || set.metrics != .text))
    let ending = try dispatch.run(
      order: LeafPlanner.order(costs: costs), shouldStop: { StopRequest.isPending },
      onPoll: {
        try onPoll()
        progress?.update(step: dispatch.handedOutCount)
      }
    ) { [pools] worker, leaf in
      MatrixBackend.prepareThread()
      let found = job.run(leaves[leaf], pool: pools[worker])
      totals.withLock { Self.add(found, to: &$0) }
    }
    progress?.finish()
    guard ending == .complete else { return nil }
    var sums = totals.withLock { $0 }
    if let world {
      try world.reduce(&sums.counts, .sum)
      if job.answers { sums.answers = try Self.gather(sums.answers, over: world) }
    }
    return report(sums, set: set, seconds: watch.seconds)
  }

  private func report(_ totals: Totals, set: EvaluationSet, seconds: Double) -> EvaluationReport {
    func count(_ word: Word) -> Int64 { totals.counts[word.rawValue] }
    let isKnown = count(.nonFinite) == 0 && count(.targets) > 0
    let loss = isKnown ? FixedPoint.decode(count(.loss)) / Double(count(.targets)) : .nan
    let place = Dictionary(uniqueKeysWithValues: set.examples.enumerated().map { ($1, $0) })
    let reader = TargetReader(set.metrics, tokenizer: tokenizer, kind: evaluator.model.description.kind)
    let outcomes = totals.answers.sorted { $0.example < $1.example }.map { example, answer in
      ExampleOutcome(
        answer, place[example].flatMap { set.expectations?[$0] } ?? reader.expectation(set.dataset[example].target))
    }
    return EvaluationReport(
      exampleCount: set.examples.count, loss: loss, metrics: set.metrics.values(of: outcomes, loss: loss),
      outcomes: outcomes, seconds: seconds)
  }

  /// Runs of consecutive examples of at least one example and, beyond that, at most a number of source tokens: a sixteenth
  /// of all, so that there are leaves for several workers, but not below 4 times `leafTokens` nor above 32 times, as every
  /// decoding step of a leaf reads all weights of the decoder, nor more than what a decoder keeps in `mostCacheBytes`.
  static func leaves(_ set: EvaluationSet, leafTokens: Int, model: ModelDescription? = nil) -> [[Int]] {
    let lengths = set.examples.map { set.dataset.lengths(at: $0).source }
    let kept = model.map { $0.kind == .decoder ? $0.cacheBytes : 0 } ?? 0
    let most = min(
      max(lengths.reduce(0, +) / 16, 4 * leafTokens), 32 * leafTokens, kept > 0 ? Self.mostCacheBytes / kept : .max)
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

  private static nonisolated func add(_ found: LeafJob.Findings, to totals: inout Totals) {
    if let loss = FixedPoint.encode(found.losses) {
      totals.counts[Word.loss.rawValue] += loss
    } else {
      totals.counts[Word.nonFinite.rawValue] += 1
    }
    totals.counts[Word.targets.rawValue] += Int64(found.targetCount)
    totals.answers += found.answers
  }

  /// Every rank's answers at every rank; they travel as UTF-8 between zero bytes.
  private static func gather(
    _ answers: [(example: Int, answer: Answer)], over world: World
  ) throws -> [(example: Int, answer: Answer)] {
    let fields = answers.flatMap { ["\($0.example)", $0.answer.message.replacing("\0", with: " ")] }
    let all = try world.gatherAtAll(fields.joined(separator: "\0"))
    return all.filter { !$0.isEmpty }.flatMap { text in
      let fields = text.split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
      return stride(from: 0, to: fields.count - 1, by: 2).compactMap { first in
        Int(fields[first]).flatMap { example in Answer(message: fields[first + 1]).map { (example, $0) } }
      }
    }
  }
}

extension Answer {
  /// The answer as text that `init(message:)` reads back.
  fileprivate var message: String {
    switch self {
    case .text(let text): "t\(text)"
    case .label(let label): "l\(label)"
    case .value(let value): "v\(value.bitPattern)"
    }
  }

  fileprivate init?(message: String) {
    // Not by characters: an accent at the beginning of a text would make one with the letter in front.
    let rest = String(message.unicodeScalars.dropFirst())
    switch message.unicodeScalars.first {
    case "t": self = .text(rest)
    case "l": self = .label(Int(rest) ?? 0)
    case "v": self = .value(Double(bitPattern: UInt64(rest) ?? 0))
    default: return nil
    }
  }
}

/// What encoded targets say of the right answer.
private struct TargetReader {
  let metrics: TaskMetrics
  let tokenizer: any Tokenizer
  let kind: ModelKind
  private let matching: AnswerMatching

  init(_ metrics: TaskMetrics, tokenizer: any Tokenizer, kind: ModelKind) {
    (self.metrics, self.tokenizer, self.kind) = (metrics, tokenizer, kind)
    if case .labels(let names, _) = metrics {
      matching = AnswerMatching(labels: names)
    } else {
      matching = AnswerMatching(labels: [])
    }
  }

  func expectation(_ target: [Int32]) -> Expectation {
    if kind == .classifier {
      guard case .labels(let names, _) = metrics else {
        return Expectation(value: Double(Float(bitPattern: UInt32(bitPattern: target[0]))))
      }
      return Expectation(references: [names[Int(target[0])]], label: Int(target[0]))
    }
    let text = tokenizer.decode(target, skippingSpecialTokens: true)
    return Expectation(references: [text], label: matching.label(of: text))
  }
}

/// The evaluation of one leaf, on a worker.
private struct LeafJob: Sendable {
  let evaluator: LeafEvaluator
  let sites: [Tensor]
  let set: EvaluationSet
  let tokenizer: any Tokenizer
  let generation: GenerationOptions
  let answers: Bool

  struct Findings {
    /// By example.
    var losses: [Double] = []
    var targetCount = 0
    var answers: [(example: Int, answer: Answer)] = []
  }

  func run(_ leaf: [Int], pool: BufferPool) -> Findings {
    let members = leaf.map { set.dataset[$0] }
    let batch = LeafBatch(members)
    let pass = evaluator.inferencePass(sites: sites, pool: pool)
    switch evaluator.model {
    case let model as any GenerativeModel: return written(by: model, batch, members, pass)
    case let model as any ClassifierModel: return scored(by: model, batch, members, pass)
    default: return judged(batch, pass)
    }
  }

  private func written(
    by model: any GenerativeModel, _ batch: LeafBatch, _ members: [EncodedExample], _ pass: ForwardPass
  ) -> Findings {
    let state = model.startDecoding(
      batch.read, maxNewTokens: generation.maxNewTokens, beamCount: generation.rowsPerSource, pass)
    var found = Findings()
    found.losses = state.losses(labels: batch.labels, pass)
    found.targetCount = batch.targetCount
    guard answers else { return found }
    let written = SequenceGenerator(generation).generate(state, examples: batch.examples, pass)
    for (member, sequences) in zip(members, written) {
      let text = tokenizer.decode(sequences.first?.answer ?? [], skippingSpecialTokens: true)
      found.answers.append((member.index, .text(generation.stops?.cut(text) ?? text)))
    }
    return found
  }

  /// The loss alone, of a model that answers nothing.
  private func judged(_ batch: LeafBatch, _ pass: ForwardPass) -> Findings {
    Findings(losses: evaluator.model.losses(batch, pass, gradientScale: 0), targetCount: batch.targetCount)
  }

  private func scored(
    by model: any ClassifierModel, _ batch: LeafBatch, _ members: [EncodedExample], _ pass: ForwardPass
  ) -> Findings {
    var found = Findings()
    let logits = model.logits(batch, pass)
    found.losses = model.losses(logits: logits, labels: batch.labels, pass, gradientScale: 0)
    found.targetCount = batch.targetCount
    for (row, member) in members.enumerated() {
      let scores = logits.value.rows(row..<row + 1)
      let answer: Answer =
        model.description.head?.problem == .regression
        ? .value(Double(scores.pointer[0])) : .label(k_argmax(scores.pointer, scores.count))
      found.answers.append((member.index, answer))
    }
    return found
  }
}
