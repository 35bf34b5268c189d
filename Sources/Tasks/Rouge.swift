/// How much of a reference summary a text has, and how much of the text is in the reference.
///
/// Source: Lin 2004, "ROUGE: a package for automatic evaluation of summaries"; package rouge-score, `rouge_scorer.py`
/// and `tokenize.py`, whose numbers these are.
public enum Rouge {
  /// Precision, recall and F = 2 P R ÷ (P + R); all 0 where there is nothing to compare.
  public struct Score: Sendable, Equatable {
    public let precision: Double
    public let recall: Double
    public let f: Double

    /// - Parameters:
    ///   - found: tokens of the prediction, and of the reference, that count as found.
    init(found: Int, predicted: Int, expected: Int) {
      precision = Double(found) / Double(max(predicted, 1))
      recall = Double(found) / Double(max(expected, 1))
      f = precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0
    }
  }

  /// One text against one reference, or against the best of several for each kind of score.
  public struct Scores: Sendable, Equatable {
    /// Words in common.
    public var rouge1: Score
    /// Pairs of neighbours in common.
    public var rouge2: Score
    /// Longest common subsequence; a line break is a space.
    public var rougeL: Score
    /// Union of longest common subsequences, sentence by sentence; sentences are lines.
    public var rougeLsum: Score
  }

  /// - Parameter references: the one with the largest F counts, for each kind of score by itself, the first of equals
  ///   (rouge-score's `score_multi`, and the way SciTLDR is scored: Cachola et al. 2020, section 5.1).
  public static func scores(of prediction: String, against references: [String], stemmed: Bool = true) -> Scores {
    var vocabulary = RougeVocabulary(stemmed: stemmed)
    let prediction = RougeText(prediction, &vocabulary)
    var best: Scores?
    for reference in references {
      let scores = scores(of: prediction, against: RougeText(reference, &vocabulary))
      guard let known = best else {
        best = scores
        continue
      }
      for kind in kinds where scores[keyPath: kind].f > known[keyPath: kind].f {
        best?[keyPath: kind] = scores[keyPath: kind]
      }
    }
    let nothing = Score(found: 0, predicted: 0, expected: 0)
    return best ?? Scores(rouge1: nothing, rouge2: nothing, rougeL: nothing, rougeLsum: nothing)
  }

  /// The tokens that ROUGE compares.
  public static func tokens(of text: String, stemmed: Bool = true) -> [String] {
    var vocabulary = RougeVocabulary(stemmed: stemmed)
    let text = RougeText(text, &vocabulary)
    return text.tokens.map { vocabulary.token($0) }
  }

  private static var kinds: [WritableKeyPath<Scores, Score>] { [\.rouge1, \.rouge2, \.rougeL, \.rougeLsum] }

  private static func scores(of prediction: RougeText, against reference: RougeText) -> Scores {
    Scores(
      rouge1: neighbours(1, prediction.tokens, reference.tokens),
      rouge2: neighbours(2, prediction.tokens, reference.tokens),
      rougeL: Score(
        found: CommonSubsequence.length(reference.tokens, prediction.tokens), predicted: prediction.tokens.count,
        expected: reference.tokens.count),
      rougeLsum: summary(prediction, reference))
  }

  /// Sequences of one or two tokens that both have, each as often as it is in both.
  private static func neighbours(_ length: Int, _ prediction: [Int32], _ reference: [Int32]) -> Score {
    var counts: [Int64: Int] = [:]
    func forEach(_ tokens: [Int32], _ body: (Int64) -> Void) {
      guard tokens.count >= length else { return }
      for start in 0...(tokens.count - length) {
        body(tokens[start..<start + length].reduce(0) { $0 << 32 | Int64($1) })
      }
    }
    forEach(reference) { counts[$0, default: 0] += 1 }
    var found = 0
    forEach(prediction) { key in
      guard let left = counts[key], left > 0 else { return }
      counts[key] = left - 1
      found += 1
    }
    return Score(
      found: found, predicted: max(prediction.count - length + 1, 0), expected: max(reference.count - length + 1, 0))
  }

  /// Section 3.2 of the paper: the tokens of a reference sentence that are in a longest common subsequence with any
  /// predicted sentence; none counts more often than it is in both texts, as in ROUGE 1.5.5.
  private static func summary(_ prediction: RougeText, _ reference: RougeText) -> Score {
    var left: [Int32: (predicted: Int, expected: Int)] = [:]
    for token in prediction.tokens { left[token, default: (0, 0)].predicted += 1 }
    for token in reference.tokens { left[token, default: (0, 0)].expected += 1 }
    var found = 0
    for sentence in reference.lines {
      var isCommon = [Bool](repeating: false, count: sentence.count)
      for other in prediction.lines {
        for place in CommonSubsequence.places(sentence, other) { isCommon[place] = true }
      }
      for (token, common) in zip(sentence, isCommon) where common {
        guard let counts = left[token], counts.predicted > 0, counts.expected > 0 else { continue }
        left[token] = (counts.predicted - 1, counts.expected - 1)
        found += 1
      }
    }
    return Score(
      found: found, predicted: prediction.tokens.count, expected: reference.tokens.count)
  }
}

/// Mean F of many examples, added up in data order.
///
/// The plain mean; Hugging Face's `evaluate` gives the middle of a bootstrap, a number that depends on chance.
struct RougeMean {
  private var count = 0
  private var sums = (one: 0.0, two: 0.0, l: 0.0, lsum: 0.0)

  mutating func add(_ scores: Rouge.Scores) {
    count += 1
    sums.one += scores.rouge1.f
    sums.two += scores.rouge2.f
    sums.l += scores.rougeL.f
    sums.lsum += scores.rougeLsum.f
  }

  var values: [(name: String, value: Double)] {
    let divisor = Double(max(count, 1))
    return [
      ("rouge1", sums.one / divisor), ("rouge2", sums.two / divisor), ("rougeL", sums.l / divisor),
      ("rougeLsum", sums.lsum / divisor),
    ]
  }
}
