import Autograd
import NN

/// P trained rows in front of every embedded source: the seam of prompt tuning and P-tuning.
struct SoftPromptSeams: Seams {
  /// `[rows, D]`, of which the first P are read.
  let prompt: Variable
  let count: Int
  /// The stack that reads the source.
  let stack: Stack

  func inputEmbeddings(
    _ stack: Stack, _ embedded: Variable, _ layout: PackedLayout, _ pass: ForwardPass
  ) -> (Variable, PackedLayout)? {
    guard stack == self.stack else { return nil }
    let rows = pass.tape.rows(prompt, 0..<count)
    return (pass.tape.prepend(rows, to: embedded, layout: layout), layout.lengthened(by: count))
  }
}
