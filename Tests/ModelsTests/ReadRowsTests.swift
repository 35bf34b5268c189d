import Autograd
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// The last block of a GPT-2 goes on only with the rows that predict targets: losses and gradients are those of all rows.
@Suite struct ReadRowsTests {
  /// Labels that begin, end and are interrupted by positions without a target, and an example without any.
  private static let leaf = LeafBatch(
    sources: [[5, 9, 17, 40], [7], [23, 3, 8, 8, 61, 12], [30, 31]],
    labels: [
      [ignoredLabel, ignoredLabel, 11, 4, 1], [6, 2, 1], [ignoredLabel, 14, ignoredLabel, 90, ignoredLabel],
      [ignoredLabel, ignoredLabel],
    ], examples: [3, 11, 4, 27])

  /// The loss of a pass of its own, and the gradients of the method's parameters.
  private func result(
    _ method: any PEFTMethod, dropout: DropoutPolicy?, _ loss: (ForwardPass) -> Double
  ) throws -> (loss: Double, gradients: [[Float]]) {
    let tape = Tape(pool: BufferPool())
    let parameters = method.parameters.map { tape.variable($0.value) }
    let pass = method.pass(tape: tape, sites: method.materialise(parameters, tape), dropout: dropout)
    let sum = loss(pass)
    tape.backward()
    return (sum, try parameters.map { try #require($0.gradient).values })
  }

  @Test(arguments: ["prompt-tuning", "lora", "prefix-tuning"], [0, 0.2] as [Float])
  func rowsThatNobodyReadsChangeNothing(kind: String, rate: Float) throws {
    let model = try Golden.gpt2()
    let method = try Golden.method(kind, model)
    let dropout = rate > 0 ? DropoutPolicy(rate: rate, seed: 5, step: 2) : nil
    let found = try result(method, dropout: dropout) { model.lossSum(Self.leaf, $0, gradientScale: 0.5) }
    let expected = try result(method, dropout: dropout) { pass in
      // All positions, the last label's too: the row before a label predicts it.
      let logits = model.logitsOfAllPositions(Self.leaf, pass)
      let added =
        (logits.value.rows - Self.leaf.sources.reduce(0) { $0 + $1.count } - Self.leaf.labels.joined().count) / 4
      let labels = zip(Self.leaf.sources, Self.leaf.labels).flatMap { source, labels in
        [Int32](repeating: ignoredLabel, count: added + source.count - 1) + labels + [ignoredLabel]
      }
      return pass.tape.crossEntropy(logits, labels: labels, gradientScale: 0.5).reduce(0, +)
    }
    #expect(found.loss > 10)
    #expect(abs(found.loss - expected.loss) < 1e-4)
    for (found, expected) in zip(found.gradients, expected.gradients) {
      #expect(largestDifference(found, expected) < 1e-4)
    }
    #expect(expected.gradients.contains { $0.contains { abs($0) > 1e-2 } })
  }

  @Test(arguments: [Precision.fp32, .fp16])
  func aLeafWithoutTargetsHasNoLoss(precision: Precision) throws {
    let model = try Golden.gpt2()
    let method = try Golden.method("lora", model)
    let tape = Tape(pool: BufferPool(), precision: precision)
    let parameters = method.parameters.map { tape.variable($0.value) }
    let pass = method.pass(tape: tape, sites: method.materialise(parameters, tape))
    let leaf = LeafBatch(sources: [[5, 9], [7]], labels: [[ignoredLabel], [ignoredLabel]], examples: [0, 1])
    #expect(model.lossSum(leaf, pass, gradientScale: 1) == 0)
    tape.backward()
    #expect(parameters.allSatisfy { $0.gradient?.values.allSatisfy { $0 == 0 } ?? true })
  }
}
