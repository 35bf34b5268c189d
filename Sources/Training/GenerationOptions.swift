import CKernels
import TensorCore

/// How text is generated, in the words of HF `GenerationConfig`.
public struct GenerationOptions: Sendable, Equatable {
  /// When beam search stops looking for better hypotheses, under HF's names.
  public enum EarlyStopping: String, Sendable, CaseIterable {
    /// Once the best running hypothesis, at its present length, is worse than every finished one.
    case whenHopeless = "false"
    /// Once there are as many finished hypotheses as beams.
    case whenFull = "true"
    /// Once no running hypothesis can become better at any length.
    case never
  }

  /// Most tokens to generate; the prompt does not count.
  public var maxNewTokens = 20
  /// Most tokens of a sequence, the prompt included; nil for no other limit than `maxNewTokens`.
  public var maxLength: Int?
  /// End-of-sequence is forbidden while fewer tokens than this have been generated.
  public var minNewTokens = 0
  /// End-of-sequence is forbidden while the sequence, prompt included, is shorter than this.
  public var minLength = 0
  /// No n-gram of this size occurs twice in a sequence; 0 for no rule.
  public var noRepeatNgramSize = 0
  /// Scores of tokens already in the sequence: divided by it if positive, multiplied if negative.
  public var repetitionPenalty: Float = 1
  /// Sequences of tokens that never occur; those of one token are never chosen.
  public var badWords: [[Int32]] = []
  /// What stands behind a prompt of one token.
  public var forcedFirstID: Int32?
  /// The last token of a sequence that reaches its greatest length is one of these, if there are any.
  public var forcedLastIDs: [Int32] = []
  /// Never chosen.
  public var suppressedIDs: [Int32] = []
  /// Never chosen as the first token (behind a forced one, as the second).
  public var suppressedFirstIDs: [Int32] = []
  /// Any of these ends a sequence.
  public var eosIDs: [Int32]
  /// Hypotheses kept side by side; 1 is greedy decoding.
  public var beamCount = 1
  /// A finished hypothesis of g tokens with log-probability p scores p / g^lengthPenalty: above 0 long ones gain.
  public var lengthPenalty = 1.0
  public var earlyStopping = EarlyStopping.whenHopeless
  /// Sequences returned for each source: independent samples, otherwise at most the number of beams.
  public var returnCount = 1
  /// Draw tokens instead of taking the best; nil for no. Not together with beams.
  public var sampling: SamplingOptions?
  /// Texts that end an answer too.
  public var stops: StopStrings?

  public init(eosIDs: [Int32]) { self.eosIDs = eosIDs }
}

extension GenerationOptions {
  /// Most rows of one source in a decoding step.
  public var rowsPerSource: Int { sampling == nil ? beamCount : returnCount }

  /// Whether a sequence, whose last token is new, ends with it.
  func ends(_ sequence: [Int32], promptCount: Int) -> Bool {
    if let last = sequence.last, eosIDs.contains(last) { return true }
    return stops?.end(Array(sequence.dropFirst(promptCount))) ?? false
  }

  /// Most tokens to generate behind a prompt of so many.
  public func newTokenLimit(promptCount: Int) -> Int {
    min(maxNewTokens, maxLength.map { max($0 - promptCount, 0) } ?? maxNewTokens)
  }

  /// HF's logits processors in HF's order, in place on one row `[V]` of logits or log-probabilities.
  ///
  /// - Parameter sequence: the row's tokens so far, the prompt first.
  public func applyRules(to scores: Tensor, sequence: [Int32], promptCount: Int) {
    if repetitionPenalty != 1 {
      for token in Set(sequence) {
        let score = scores.pointer[Int(token)]
        scores.pointer[Int(token)] = score > 0 ? score / repetitionPenalty : score * repetitionPenalty
      }
    }
    func bar(_ tokens: [Int32]) { for token in tokens { scores.pointer[Int(token)] = -.infinity } }
    func force(_ tokens: [Int32]) {
      scores.fill(-.infinity)
      for token in tokens { scores.pointer[Int(token)] = 0 }
    }
    bar(tokensThatRepeat(sequence))
    bar(tokensOfBadWords(sequence))
    let generated = sequence.count - promptCount
    if sequence.count < minLength || generated < minNewTokens { bar(eosIDs) }
    if let forcedFirstID, sequence.count == 1 { force([forcedFirstID]) }
    if !forcedLastIDs.isEmpty, generated == newTokenLimit(promptCount: promptCount) - 1 { force(forcedLastIDs) }
    bar(suppressedIDs)
    if generated == (forcedFirstID != nil && promptCount == 1 ? 1 : 0) { bar(suppressedFirstIDs) }
  }

  /// The tokens that would complete a bad word. An end-of-sequence token alone is none, and a word longer than the sequence
  /// does not count yet (HF `SequenceBiasLogitsProcessor`).
  private func tokensOfBadWords(_ sequence: [Int32]) -> [Int32] {
    badWords.compactMap { word in
      guard let last = word.last, !(word.count == 1 && eosIDs.contains(last)) else { return nil }
      guard word.count > 1 else { return last }
      return word.count <= sequence.count && sequence.suffix(word.count - 1).elementsEqual(word.dropLast()) ? last : nil
    }
  }

  /// The tokens that would complete an n-gram the sequence already has.
  private func tokensThatRepeat(_ sequence: [Int32]) -> [Int32] {
    let size = noRepeatNgramSize
    guard size > 0, sequence.count >= size else { return [] }
    let last = sequence.suffix(size - 1)
    return (0...(sequence.count - size)).compactMap { start in
      sequence[start..<start + size - 1].elementsEqual(last) ? sequence[start + size - 1] : nil
    }
  }
}
