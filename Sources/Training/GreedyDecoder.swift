import CKernels
import NN
import TensorCore

/// Greedy decoding of one leaf with a key/value cache (HF `generation/utils.py`, `_sample` without sampling).
///
/// The batch shrinks as sequences finish: by content only, so the result does not depend on who decodes the leaf.
public struct GreedyDecoder: Sendable {
  public let options: GenerationOptions

  public init(_ options: GenerationOptions) { self.options = options }

  /// - Returns: per source its prompt and the generated ids, the end-of-sequence token included.
  func generate(_ state: any DecodingState, prompts: [[Int32]], _ pass: ForwardPass) -> [[Int32]] {
    var sequences = prompts
    // The sequence of each row, and the row of the last step that it continues.
    var active = Array(prompts.indices)
    var parents = active
    for _ in 0..<options.maxNewTokens where !active.isEmpty {
      let logits = state.step(tokens: active.compactMap { sequences[$0].last }, parents: parents, pass)
      parents = []
      for (row, sequence) in active.enumerated() {
        let scores = logits.rows(row..<row + 1)
        options.applyRules(to: scores, sequence: sequences[sequence], promptCount: prompts[sequence].count)
        let next = Int32(k_argmax(scores.pointer, scores.count))
        sequences[sequence].append(next)
        if !options.eosIDs.contains(next) { parents.append(row) }
      }
      active = parents.map { active[$0] }
    }
    return sequences
  }
}
