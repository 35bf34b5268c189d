import NN
import TensorCore

/// Sequences that grow side by side, each by one token a step, until it ends: what greedy decoding and sampling share
/// (HF `generation/utils.py`, `_sample`).
///
/// The batch shrinks as sequences finish: by content only, so the result does not depend on who decodes the leaf.
struct RowDecoder {
  let options: GenerationOptions
  /// Sequences of each source. In the first step they are one row, as all of them are the prompt.
  let sequencesEach: Int

  /// Which sequence a token is chosen for.
  struct Place {
    let source: Int
    /// Number of the sequence among those of its source.
    let sequence: Int
    /// Tokens generated so far.
    let position: Int
  }

  /// - Parameters:
  ///   - prepare: alters the scores `[V]` of a row, after the rules; once for each row.
  ///   - choose: the next token by the prepared scores.
  /// - Returns: per source its sequences, the prompt first, the end-of-sequence token included.
  func generate(
    _ state: any DecodingState, prompts: [[Int32]], _ pass: ForwardPass, prepare: (Tensor) -> Void = { _ in },
    choose: (Tensor, Place) -> Int32
  ) -> [[[Int32]]] {
    var sequences = prompts.map { Array(repeating: $0, count: sequencesEach) }
    // The source of each row and the numbers of the sequences that continue it.
    let limits = prompts.map { options.newTokenLimit(promptCount: $0.count) }
    var rows = prompts.indices.filter { limits[$0] > 0 }.map { (source: $0, members: Array(0..<sequencesEach)) }
    var parents = rows.map(\.source)
    for position in 0..<options.maxNewTokens where !rows.isEmpty {
      let tokens = rows.compactMap { row in row.members.first.flatMap { sequences[row.source][$0].last } }
      let logits = state.step(tokens: tokens, parents: parents, pass)
      var following: [(source: Int, members: [Int])] = []
      parents = []
      for (index, row) in rows.enumerated() {
        let scores = logits.rows(index..<index + 1)
        let (source, promptCount) = (row.source, prompts[row.source].count)
        options.applyRules(
          to: scores, sequence: sequences[source][row.members.first ?? 0], promptCount: promptCount)
        prepare(scores)
        for member in row.members {
          let next = choose(scores, Place(source: source, sequence: member, position: position))
          sequences[source][member].append(next)
          let isLast = position + 1 >= limits[source]
          guard !isLast, !options.ends(sequences[source][member], promptCount: promptCount) else { continue }
          following.append((source, [member]))
          parents.append(index)
        }
      }
      rows = following
    }
    return sequences
  }
}
