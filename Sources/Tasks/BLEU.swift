import Foundation
import TensorCore

/// Corpus BLEU from integer counts, so that any split of the corpus adds up to the same.
///
/// With p_n the share of the predictions' n-grams that a reference has (each at most as often), and the lengths c of
/// all predictions and r of their references: BLEU = min(1, e^(1 − r/c)) · (p_1 p_2 p_3 p_4)^(1/4). Sources: Papineni
/// et al. 2002; Post 2018; sacrebleu `metrics/bleu.py`: 13a tokens, exponential smoothing, 0 to 100.
public struct BLEU: Sendable, Equatable {
  public static let longest = 4

  public enum Smoothing: Sendable {
    /// The k-th n without a match counts as 1 ÷ 2^k matches.
    case exponential
    case none
  }

  /// n-grams of the predictions that a reference has, by n − 1.
  public private(set) var matches = [Int](repeating: 0, count: longest)
  /// n-grams of the predictions, by n − 1.
  public private(set) var totals = [Int](repeating: 0, count: longest)
  public private(set) var predictedLength = 0
  public private(set) var referenceLength = 0

  public init() {}

  /// Counts one example. Of several references the one closest in length counts, the shorter of two as close.
  public mutating func add(_ prediction: String, references: [String]) {
    // By code points, as sacrebleu compares: a String would equal every canonically equivalent one.
    var numbers: [[UInt8]: UInt32] = [:]
    func ids(_ text: String) -> [UInt32] {
      BLEUTokenizer.tokens(of: text).map { token in
        let token = Array(token.utf8)
        if let number = numbers[token] { return number }
        let number = UInt32(numbers.count)
        numbers[token] = number
        return number
      }
    }
    let predicted = ids(prediction)
    let expected = references.map(ids)
    predictedLength += predicted.count
    referenceLength +=
      expected.map(\.count).min { a, b in
        (abs(a - predicted.count), a) < (abs(b - predicted.count), b)
      } ?? 0
    for n in 1...Self.longest {
      var most: [UInt128: Int] = [:]
      for reference in expected { most.merge(Self.counts(of: reference, n), uniquingKeysWith: max) }
      for (gram, count) in Self.counts(of: predicted, n) {
        totals[n - 1] += count
        matches[n - 1] += min(count, most[gram] ?? 0)
      }
    }
  }

  public mutating func add(_ other: BLEU) {
    for index in matches.indices {
      matches[index] += other.matches[index]
      totals[index] += other.totals[index]
    }
    predictedLength += other.predictedLength
    referenceLength += other.referenceLength
  }

  private static func counts(of tokens: [UInt32], _ n: Int) -> [UInt128: Int] {
    var counts: [UInt128: Int] = [:]
    guard tokens.count >= n else { return counts }
    for start in 0...(tokens.count - n) {
      counts[tokens[start..<start + n].reduce(0) { $0 << 32 | UInt128($1) }, default: 0] += 1
    }
    return counts
  }

  public var brevityPenalty: Double {
    guard predictedLength < referenceLength else { return 1 }
    return predictedLength == 0 ? 0 : Portable.exp(1 - Double(referenceLength) / Double(predictedLength))
  }

  /// p_n in percent, smoothed; 0 from the first n of which there are no n-grams on.
  public func precisions(_ smoothing: Smoothing = .exponential) -> [Double] {
    var precisions = [Double](repeating: 0, count: Self.longest)
    guard matches.contains(where: { $0 > 0 }) else { return precisions }
    var halving = 1.0
    for index in precisions.indices {
      guard totals[index] > 0 else { break }
      if matches[index] > 0 {
        precisions[index] = 100 * Double(matches[index]) / Double(totals[index])
      } else if smoothing == .exponential {
        halving *= 2
        precisions[index] = 100 / (halving * Double(totals[index]))
      }
    }
    return precisions
  }

  public var score: Double { score() }

  /// - Parameter effectiveOrder: leaves out each n of which there are no n-grams, so that short single sentences get a
  ///   score (as sacrebleu's `sentence_bleu` does).
  public func score(_ smoothing: Smoothing = .exponential, effectiveOrder: Bool = false) -> Double {
    guard matches.contains(where: { $0 > 0 }) else { return 0 }
    let order = effectiveOrder ? totals.firstIndex(of: 0) ?? Self.longest : Self.longest
    let precisions = precisions(smoothing).prefix(order)
    guard precisions.allSatisfy({ $0 > 0 }) else { return 0 }
    return brevityPenalty * Portable.exp(precisions.reduce(0) { $0 + Portable.log($1) } / Double(order))
  }
}
