import TensorCore

/// T5's objective for pre-training: spans of a text are hidden, and the model is to write them.
///
/// Each hidden span becomes one sentinel in the source; the target is every sentinel with its span behind it. Both end with the
/// end-of-sequence token: `Thank you <X> me to your party <Y> week` and `<X> for inviting <Y> last`.
///
/// Source: Raffel et al. 2020, §3.1.4 and §3.3.4; google-research/text-to-text-transfer-transformer `preprocessors.py`,
/// `random_spans_noise_mask`, `noise_span_to_unique_sentinel`. Deviation: there are never more spans than sentinels or than
/// tokens that stay, where the original runs into the vocabulary or joins spans.
public struct SpanCorruption: Sendable, Equatable {
  /// Share of the tokens that are hidden.
  public var noiseDensity = 0.15
  public var meanSpanLength = 3.0
  /// The first sentinel, `<extra_id_0>`; the following ones have descending ids.
  public let firstSentinel: Int32
  public let sentinelCount: Int
  public let eosID: Int32
  /// One more sentinel closes the target, as in the paper's figure and the documentation of Hugging Face; T5's code has none.
  public var closesWithSentinel = false

  public init(firstSentinel: Int32, sentinelCount: Int = 100, eosID: Int32) {
    precondition(sentinelCount >= 2, "span corruption with \(sentinelCount) sentinels")
    self.firstSentinel = firstSentinel
    self.sentinelCount = sentinelCount
    self.eosID = eosID
  }

  /// How a text of some length is divided.
  public struct Counts: Sendable, Equatable {
    public let noiseTokens: Int
    public let spans: Int
    public let keptTokens: Int

    public init(noiseTokens: Int, spans: Int, keptTokens: Int) {
      self.noiseTokens = noiseTokens
      self.spans = spans
      self.keptTokens = keptTokens
    }
  }

  /// Of `length` tokens, at least 2, some are hidden and some stay. Halves round to even, as in Python.
  public func counts(length: Int) -> Counts {
    precondition(length >= 2, "\(length) tokens cannot be divided")
    let noise = min(max(Self.rounded(Double(length) * noiseDensity), 1), length - 1)
    let most = min(noise, length - noise, sentinelCount - (closesWithSentinel ? 1 : 0))
    let spans = min(max(Self.rounded(Double(noise) / meanSpanLength), 1), most)
    return Counts(noiseTokens: noise, spans: spans, keptTokens: length - noise)
  }

  private static func rounded(_ value: Double) -> Int { Int(value.rounded(.toNearestOrEven)) }

  /// Tokens of source and target that a text of `length` tokens gives.
  public func lengths(ofText length: Int) -> (source: Int, target: Int) {
    guard length >= 2 else { return (length + 1, closesWithSentinel ? 2 : 1) }
    let counts = counts(length: length)
    let target = counts.noiseTokens + counts.spans + (closesWithSentinel ? 2 : 1)
    return (counts.keptTokens + counts.spans + 1, target)
  }

  /// The longest text whose source has at most `sourceLength` tokens: 568 for T5's 512. Where nearly all tokens are hidden it is
  /// longer than any text, and `Int32.max` stands for it.
  public func textLength(sourceLength: Int) -> Int {
    // A longer text never has a shorter source.
    var (fitting, tooLong) = (max(sourceLength - 1, 0), Int(Int32.max) + 1)
    while tooLong - fitting > 1 {
      let middle = (fitting + tooLong) / 2
      if lengths(ofText: middle).source <= sourceLength { fitting = middle } else { tooLong = middle }
    }
    return fitting
  }

  // MARK: Which tokens

  /// True for hidden tokens: spans that stay and hidden ones take turns, the first one stays. Both are divided at random, each
  /// division into non-empty spans as likely as any other.
  public func noiseMask(length: Int, seed: UInt64, epoch: Int, example: Int) -> [Bool] {
    guard length >= 2 else { return Array(repeating: false, count: length) }
    let counts = counts(length: length)
    let generator = CounterGenerator(
      seed: seed, purpose: .objective, step: UInt64(epoch), site: UInt32(truncatingIfNeeded: example))
    let kept = Self.divide(counts.keptTokens, into: counts.spans, CounterGenerator(parent: generator, site: 0))
    let noise = Self.divide(counts.noiseTokens, into: counts.spans, CounterGenerator(parent: generator, site: 1))
    return zip(kept, noise).flatMap { kept, noise in
      Array(repeating: false, count: kept) + Array(repeating: true, count: noise)
    }
  }

  /// Lengths of `parts` non-empty parts of `count` items: the cuts are drawn without repetition (Floyd's algorithm).
  private static func divide(_ count: Int, into parts: Int, _ generator: CounterGenerator) -> [Int] {
    let (places, wanted) = (count - 1, parts - 1)
    var cuts: Set<Int> = []
    for last in places - wanted..<places {
      let cut = generator.integer(at: UInt64(last), below: last + 1)
      cuts.insert(cuts.contains(cut) ? last : cut)
    }
    let ends = cuts.sorted().map { $0 + 1 } + [count]
    return zip(ends, [0] + ends).map { $0 - $1 }
  }

  // MARK: Source and target

  /// Source and target of `tokens`, which have no special token at their end.
  public func corrupted(_ tokens: [Int32], seed: UInt64, epoch: Int, example: Int) -> ObjectiveExample {
    corrupted(tokens, mask: noiseMask(length: tokens.count, seed: seed, epoch: epoch, example: example))
  }

  /// The same with a given mask: each run of hidden tokens has the next sentinel.
  public func corrupted(_ tokens: [Int32], mask: [Bool]) -> ObjectiveExample {
    precondition(tokens.count == mask.count, "\(tokens.count) tokens, a mask of \(mask.count)")
    var (source, target): ([Int32], [Int32]) = ([], [])
    var sentinel = firstSentinel
    for (index, token) in tokens.enumerated() {
      guard mask[index] else {
        source.append(token)
        continue
      }
      if index == 0 || !mask[index - 1] {
        precondition(Int(firstSentinel - sentinel) < sentinelCount, "more hidden spans than sentinels")
        source.append(sentinel)
        target.append(sentinel)
        sentinel -= 1
      }
      target.append(token)
    }
    if closesWithSentinel { target.append(sentinel) }
    return ObjectiveExample(source: source + [eosID], target: target + [eosID])
  }
}
