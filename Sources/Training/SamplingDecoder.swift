import CKernels
import NN
import TensorCore

/// Sampling: each token is drawn from what rules and filters leave of the model's distribution.
///
/// The random number of a draw is a pure function of (seed, example, number of the sequence, tokens generated so far), see
/// `CounterGenerator`. Nothing else decides, so ranks, threads and the leaf an example is in draw the same text, as far as
/// the model gives the same logits; several sequences of a source are independent samples.
struct SamplingDecoder: Sendable {
  let options: GenerationOptions
  let sampling: SamplingOptions

  /// - Parameter examples: index of each source in its data set.
  /// - Returns: per source `returnCount` sequences, the prompt first, the end-of-sequence token included.
  func generate(
    _ state: any DecodingState, prompts: [[Int32]], examples: [UInt32], _ pass: ForwardPass
  ) -> [[[Int32]]] {
    RowDecoder(options: options, sequencesEach: options.returnCount).generate(
      state, prompts: prompts, pass, prepare: sampling.filter
    ) { scores, place in
      draw(from: scores, example: examples[place.source], sequence: place.sequence, position: place.position)
    }
  }

  /// One token by the softmax of `scores`; the best one where they are no numbers.
  func draw(from scores: Tensor, example: UInt32, sequence: Int, position: Int) -> Int32 {
    let generator = CounterGenerator(
      seed: sampling.seed, purpose: .sampling, step: UInt64(example), site: UInt32(sequence))
    return SamplingWeights(scores).token(at: generator.uniform(at: UInt64(position)))
      ?? Int32(k_argmax(scores.pointer, scores.count))
  }
}
