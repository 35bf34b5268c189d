import Diagnostics
import Dispatch
import Foundation
import Synchronization
import Tokenization

/// A data set as token ids, with random access from any thread.
public final class EncodedDataset: Sendable {
  public let count: Int
  private let store: Store

  private enum Store {
    case onDemand(OnDemand)
    case table(TokenTable)
    /// Another data set under an objective.
    case made(EncodedDataset, Objective)
  }

  private init(count: Int, store: Store) {
    self.count = count
    self.store = store
  }

  /// Whether a run needs all of the data tokenised: it visits at least half of it.
  ///
  /// - Parameter visits: examples the run will look at, repetitions counted.
  public static func needsWholeSet(visits: Int, count: Int) -> Bool { 2 * visits >= count }

  /// Encodes each example when it is first asked for, and keeps the result.
  public convenience init(onDemand examples: [Example], tokenizer: any Tokenizer, encoding: ExampleEncoding) {
    let indices = examples.map(\.index)
    precondition(indices == Array(examples.indices), "examples must be numbered 0, 1, 2, … in order")
    self.init(
      count: examples.count,
      store: .onDemand(OnDemand(examples: examples, tokenizer: tokenizer, encoding: encoding)))
  }

  /// Encodes the whole set with up to `threads` threads, or takes it from `cache`.
  ///
  /// - Parameters:
  ///   - location: file or folder of the data.
  ///   - digest: of the data, where it is known already.
  ///   - examples: reads the data; called only if the cache has no table.
  ///   - warn: is told in one sentence when the cache cannot be used.
  /// - Throws: `DataError`, and whatever `examples` throws.
  public convenience init(
    wholeSetAt location: URL, task: any TextTask, tokenizer: any Tokenizer, encoding: ExampleEncoding,
    cache: TokenCache, threads: Int, digest: String? = nil, warn: (String) -> Void,
    examples: (() throws -> [Example])? = nil
  ) throws {
    let key = TokenCache.key(
      content: try digest ?? DataDigest.sha256(of: location), task: task, tokenizer: tokenizer, encoding: encoding)
    let table = try cache.table(key, warn: warn) {
      let examples = try examples?() ?? task.examples(at: location)
      return Self.encode(examples, tokenizer: tokenizer, encoding: encoding, threads: threads)
    }
    self.init(count: table.count, store: .table(table))
  }

  /// The examples as `objective` has them when they are judged.
  public func judged(by objective: Objective) -> EncodedDataset {
    EncodedDataset(count: count, store: .made(self, objective))
  }

  public subscript(index: Int) -> EncodedExample {
    switch store {
    case .made(let texts, let objective):
      objective.applied(to: texts[index], seed: 0, epoch: Objective.judgedEpoch)
    case .onDemand(let examples): examples[index]
    case .table(let table): table.example(index)
    }
  }

  /// Tokens of both sides of an example, end-of-sequence included, and before they were cut.
  public struct Lengths: Sendable, Equatable {
    public let source: Int
    public let target: Int
    public let uncutSource: Int
    public let uncutTarget: Int
  }

  public func lengths(at index: Int) -> Lengths {
    switch store {
    case .made:
      let example = self[index]
      return Lengths(
        source: example.source.count, target: example.target.count, uncutSource: example.uncutSourceLength,
        uncutTarget: example.uncutTargetLength)
    case .onDemand(let examples):
      let example = examples[index]
      return Lengths(
        source: example.source.count, target: example.target.count, uncutSource: example.uncutSourceLength,
        uncutTarget: example.uncutTargetLength)
    case .table(let table):
      return Lengths(
        source: table.sourceLength(index), target: table.targetLength(index),
        uncutSource: table.uncutSourceLength(index), uncutTarget: table.uncutTargetLength(index))
    }
  }

  /// Lengths of several examples; encodes them first where that has not been done.
  public func lengths(of indices: some Sequence<Int>) -> [Lengths] { indices.map(lengths) }

  /// Encodes `examples` with up to `threads` threads; the result does not depend on their number.
  static func encode(
    _ examples: [Example], tokenizer: any Tokenizer, encoding: ExampleEncoding, threads: Int
  ) -> [EncodedExample] {
    precondition(threads > 0, "\(threads) threads")
    let chunk = 64
    let chunkCount = (examples.count + chunk - 1) / chunk
    let next = Atomic<Int>(0)
    let finished = Mutex<[Int: [EncodedExample]]>([:])
    DispatchQueue.concurrentPerform(iterations: min(threads, max(chunkCount, 1))) { _ in
      while true {
        let number = next.add(1, ordering: .relaxed).oldValue
        guard number < chunkCount else { return }
        let range = number * chunk..<min((number + 1) * chunk, examples.count)
        let encoded = examples[range].flatMap { encoding.encodedParts($0, with: tokenizer) }
        finished.withLock { $0[number] = encoded }
        PhaseBoard.tick()
      }
    }
    let all = finished.withLock { chunks in (0..<chunkCount).flatMap { chunks[$0] ?? [] } }
    // Parts of a text are examples of their own.
    return all.enumerated().map { $1.numbered($0) }
  }
}

/// Examples that are encoded when they are first asked for.
private final class OnDemand: Sendable {
  private let examples: [Example]
  private let tokenizer: any Tokenizer
  private let encoding: ExampleEncoding
  private let known = Mutex<[Int: EncodedExample]>([:])

  init(examples: [Example], tokenizer: any Tokenizer, encoding: ExampleEncoding) {
    self.examples = examples
    self.tokenizer = tokenizer
    self.encoding = encoding
  }

  /// Two threads may encode the same example at once; both get the same ids.
  subscript(index: Int) -> EncodedExample {
    precondition(examples.indices.contains(index), "example \(index) of \(examples.count)")
    if let example = known.withLock({ $0[index] }) { return example }
    let example = encoding.encode(examples[index], with: tokenizer)
    known.withLock { $0[index] = example }
    return example
  }
}
