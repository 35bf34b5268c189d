import CKernels
import Foundation
import TensorCore

/// How the next token is drawn instead of being the best one, in the words of HF `GenerationConfig`.
public struct SamplingOptions: Sendable, Equatable {
  /// Scores are divided by this: below 1 likely tokens gain.
  public var temperature: Float = 1
  /// Only the so many best tokens are left, and those equal to the last of them; 0 for all.
  public var topK = 50
  /// Only the fewest tokens are left that together have more than this probability; 1 for all.
  public var topP = 1.0
  /// Only tokens at least this times as likely as the best one are left; 0 for all.
  public var minP = 0.0
  /// No rule leaves fewer tokens than this.
  public var leastKept = 1
  public var seed: UInt64

  public init(seed: UInt64) { self.seed = seed }
}

extension SamplingOptions {
  /// HF's sampling processors in HF's order, in place on one row `[V]` of scores: what is left out becomes -infinity.
  ///
  /// Source: HF `logits_process.py`, `TemperatureLogitsWarper`, `TopKLogitsWarper`, `TopPLogitsWarper`, `MinPLogitsWarper`.
  public func filter(_ scores: Tensor) {
    if temperature != 1 {
      for index in 0..<scores.count { scores.pointer[index] /= temperature }
    }
    if topK > 0 { keepBest(max(topK, leastKept), of: scores) }
    if topP < 1 { keepNucleus(of: scores) }
    if minP > 0 { keepLikely(of: scores) }
  }

  /// Drops what is below the `count`-th best; the ties of that one stay.
  private func keepBest(_ count: Int, of scores: Tensor) {
    guard count < scores.count, let last = best(count, of: scores).last else { return }
    let least = scores.pointer[Int(last)]
    for index in 0..<scores.count where scores.pointer[index] < least { scores.pointer[index] = -.infinity }
  }

  /// Drops the least likely tokens, from the last one on, as long as all dropped ones have at most 1 - p together.
  private func keepNucleus(of scores: Tensor) {
    let weights = SamplingWeights(scores)
    // Tokens below the mean of what may go have less than that together: they go first, so that only the rest is sorted.
    let rare = (1 - topP) * weights.total / Double(max(weights.tokens.count, 1))
    var likely = weights.tokens.indices.filter { weights.values[$0] >= rare }
    var dropped = 0.0
    if likely.count < leastKept {
      likely = Array(weights.tokens.indices)
    } else {
      for place in weights.tokens.indices where weights.values[place] < rare {
        dropped += weights.values[place] / weights.total
        scores.pointer[weights.tokens[place]] = -.infinity
      }
    }
    let ascending = likely.sorted {
      // Equal ones by token, as a stable sort has them.
      (scores.pointer[weights.tokens[$0]], $0) < (scores.pointer[weights.tokens[$1]], $1)
    }
    for place in ascending.dropLast(leastKept) {
      dropped += weights.values[place] / weights.total
      guard dropped <= 1 - topP else { return }
      scores.pointer[weights.tokens[place]] = -.infinity
    }
  }

  /// Drops what is less likely than `minP` times the best one.
  private func keepLikely(of scores: Tensor) {
    let weights = SamplingWeights(scores)
    let kept = Set(best(leastKept, of: scores).map { Int($0) })
    // The best one weighs 1.
    for (token, weight) in zip(weights.tokens, weights.values) where weight < minP && !kept.contains(token) {
      scores.pointer[token] = -.infinity
    }
  }

  private func best(_ count: Int, of scores: Tensor) -> [Int32] {
    var best = [Int32](repeating: 0, count: count)
    let found = k_top(scores.pointer, scores.count, count, &best)
    return Array(best.prefix(found))
  }
}

/// What a token is drawn from.
public enum SamplingDistribution {
  /// Softmax of filtered scores `[V]`.
  public static func of(_ scores: Tensor) -> [Double] {
    let weights = SamplingWeights(scores)
    var shares = [Double](repeating: 0, count: scores.count)
    for (token, value) in zip(weights.tokens, weights.values) { shares[token] = value / weights.total }
    return shares
  }
}

/// Tokens that may be drawn and their unnormalised probabilities, `exp(score - best score)`.
struct SamplingWeights {
  /// Ascending.
  private(set) var tokens: [Int] = []
  private(set) var values: [Double] = []
  private(set) var total = 0.0

  init(_ scores: Tensor) {
    let best = scores.pointer[k_argmax(scores.pointer, scores.count)]
    guard best.isFinite else { return }
    for index in 0..<scores.count where scores.pointer[index].isFinite {
      let value = Portable.exp(Double(scores.pointer[index]) - Double(best))
      tokens.append(index)
      values.append(value)
      total += value
    }
  }

  /// The token whose share of the unit interval holds `fraction`, tokens ascending; nil where there is none.
  func token(at fraction: Double) -> Int32? {
    var rest = fraction * total
    for (token, value) in zip(tokens, values) {
      rest -= value
      if rest < 0 { return Int32(token) }
    }
    return tokens.last.map { Int32($0) }
  }
}
