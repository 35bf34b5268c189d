import CKernels
import NN
import TensorCore

/// Greedy decoding of one leaf with a key/value cache: always the best token, of equal ones the lowest.
public struct GreedyDecoder: Sendable {
  public let options: GenerationOptions

  public init(_ options: GenerationOptions) { self.options = options }

  /// - Returns: per source its prompt and the generated ids, the end-of-sequence token included.
  func generate(_ state: any DecodingState, prompts: [[Int32]], _ pass: ForwardPass) -> [[Int32]] {
    RowDecoder(options: options, sequencesEach: 1).generate(state, prompts: prompts, pass) { scores, _ in
      Int32(k_argmax(scores.pointer, scores.count))
    }.flatMap(\.self)
  }
}
