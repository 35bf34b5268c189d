import CKernels
import NN
import TensorCore

/// How text is generated, in the words of HF `GenerationConfig`.
public struct GenerationOptions: Sendable, Equatable {
  /// Most tokens to generate; the start token does not count.
  public var maxNewTokens = 20
  /// End-of-sequence is forbidden while fewer tokens than this have been generated.
  public var minNewTokens = 0
  /// End-of-sequence is forbidden while the sequence, start token included, is shorter than this.
  public var minLength = 0
  /// No n-gram of this size occurs twice in a sequence; 0 for no rule.
  public var noRepeatNgramSize = 0
  /// Scores of tokens already in the sequence: divided by it if positive, multiplied if negative.
  public var repetitionPenalty: Float = 1
  /// Any of these ends a sequence.
  public var eosIDs: [Int32]

  public init(eosIDs: [Int32]) { self.eosIDs = eosIDs }
}

/// Greedy decoding of one leaf with a key/value cache (HF `generation/utils.py`, `_sample` without sampling).
///
/// The batch shrinks as sequences finish: by content only, so the result does not depend on who decodes the leaf.
public struct GreedyDecoder: Sendable {
  public let options: GenerationOptions

  public init(_ options: GenerationOptions) { self.options = options }

  /// - Returns: per source the generated ids, the start token first, the end-of-sequence token included.
  public func generate(sources: [[Int32]], examples: [UInt32], model: any LanguageModel, _ pass: ForwardPass)
    -> [[Int32]]
  {
    let state = model.startDecoding(
      sources: sources, examples: examples, maxNewTokens: options.maxNewTokens, pass)
    return generate(state, count: sources.count, pass)
  }

  func generate(_ state: any DecodingState, count: Int, _ pass: ForwardPass) -> [[Int32]] {
    var sequences = [[Int32]](repeating: [state.startToken], count: count)
    var active = Array(0..<count)
    for _ in 0..<options.maxNewTokens where !active.isEmpty {
      let logits = state.step(tokens: active.compactMap { sequences[$0].last }, active: active, pass)
      var remaining: [Int] = []
      for (row, sequence) in active.enumerated() {
        let scores = logits.rows(row..<row + 1)
        process(scores, sequence: sequences[sequence])
        let next = Int32(k_argmax(scores.pointer, scores.count))
        sequences[sequence].append(next)
        if !options.eosIDs.contains(next) { remaining.append(sequence) }
      }
      active = remaining
    }
    return sequences
  }

  /// HF's logits processors in HF's order, in place on one row `[V]`.
  func process(_ scores: Tensor, sequence: [Int32]) {
    if options.repetitionPenalty != 1 {
      for token in Set(sequence) {
        let score = scores.pointer[Int(token)]
        scores.pointer[Int(token)] =
          score > 0 ? score / options.repetitionPenalty : score * options.repetitionPenalty
      }
    }
    for token in tokensThatRepeat(sequence) { scores.pointer[Int(token)] = -.infinity }
    if sequence.count < options.minLength || sequence.count - 1 < options.minNewTokens {
      for token in options.eosIDs { scores.pointer[Int(token)] = -.infinity }
    }
  }

  /// The tokens that would complete an n-gram the sequence already has.
  private func tokensThatRepeat(_ sequence: [Int32]) -> [Int32] {
    let size = options.noRepeatNgramSize
    guard size > 0, sequence.count + 1 >= size else { return [] }
    let last = sequence.suffix(size - 1)
    guard sequence.count >= size else { return [] }
    return (0...(sequence.count - size)).compactMap { start in
      sequence[start..<start + size - 1].elementsEqual(last) ? sequence[start + size - 1] : nil
    }
  }
}
