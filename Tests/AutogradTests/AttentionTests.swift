import CKernels
import Foundation
import TensorCore
import Testing

@testable import Autograd

/// Attention against the plain formula in Double, and its derivatives against central differences.
@Suite struct AttentionTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    var name: String
    var queries: [Int]
    var keys: [Int]
    var heads = 2
    var headWidth = 3
    var scale: Float = 0.8
    var isCausal = false
    var hasBias = false
    var dropout: Float = 0
    var operands = OPERAND_FP32

    var testDescription: String { name }
    var tileCount: Int {
      let rows = AttentionForm.tileRows
      return ((queries.max() ?? 1) + rows - 1) / rows
    }
    var form: AttentionForm {
      let generator = CounterGenerator(seed: 8, purpose: .dropout, step: 1, site: 3)
      return AttentionForm(
        heads: heads, headWidth: headWidth, scale: scale, causal: isCausal,
        dropout: dropout > 0 ? (dropout, generator) : nil, operands: operands)
    }
    func layouts() -> (queries: PackedLayout, keys: PackedLayout) {
      let examples = queries.indices.map { UInt32($0 * 3 + 1) }
      return (
        PackedLayout(lengths: queries, examples: examples), PackedLayout(lengths: keys, examples: examples)
      )
    }
    /// q, k, v and the bias vectors `[H, offsets]`.
    func inputs() -> [Tensor] {
      let width = heads * headWidth
      let longest = keys.max() ?? 1
      return [
        Samples(seed: 1).tensor([queries.reduce(0, +), width]),
        Samples(seed: 2).tensor([keys.reduce(0, +), width]),
        Samples(seed: 3).tensor([keys.reduce(0, +), width]),
      ] + (hasBias ? [Samples(seed: 4).tensor([heads, 2 * longest - 1])] : [])
    }
    func run(_ tape: Tape, _ inputs: [Variable]) -> Variable {
      let (queries, keys) = layouts()
      return tape.attention(
        q: inputs[0], k: inputs[1], v: inputs[2], queries: queries, keys: keys, form: form,
        bias: hasBias ? OffsetBias(values: inputs[3], zero: keys.longest - 1) : nil)
    }
  }

  static let shapes = [
    Shape(name: "encoder", queries: [5, 1, 3], keys: [5, 1, 3]),
    Shape(name: "encoder with bias", queries: [5, 2], keys: [5, 2], hasBias: true),
    Shape(name: "cross", queries: [2, 4, 1], keys: [5, 1, 3]),
    Shape(name: "causal", queries: [4, 6], keys: [4, 6], isCausal: true),
    Shape(name: "causal with bias", queries: [4, 6], keys: [4, 6], isCausal: true, hasBias: true),
    Shape(name: "causal after a prefix", queries: [3, 2], keys: [5, 4], isCausal: true, hasBias: true),
    Shape(name: "one query of many", queries: [1, 1], keys: [7, 3], hasBias: true),
    Shape(name: "two tiles", queries: [300, 20], keys: [300, 20], heads: 1, hasBias: true),
    Shape(
      name: "two causal tiles", queries: [300, 20], keys: [300, 20], heads: 2, isCausal: true, hasBias: true),
  ]

  @Test(arguments: shapes) func followsTheFormula(shape: Shape) {
    let inputs = shape.inputs()
    let found = shape.run(
      Tape(pool: BufferPool(), recordsGradients: false), inputs.map { Variable(constant: $0) })
    let expected = plainAttention(shape, inputs)
    #expect(found.value.count == expected.count)
    for (index, value) in expected.enumerated() {
      #expect(abs(Double(found.value.pointer[index]) - value) <= 1e-5, "element \(index)")
    }
  }

  @Test(arguments: shapes) func derivatives(shape: Shape) {
    GradientCheck(entriesPerInput: shape.queries[0] > 100 ? 12 : 40).run(shape.inputs()) { shape.run($0, $1) }
  }

  @Test(arguments: shapes) func derivativesWithDropout(shape: Shape) {
    var shape = shape
    shape.dropout = 0.3
    GradientCheck(entriesPerInput: shape.queries[0] > 100 ? 12 : 40).run(shape.inputs()) { shape.run($0, $1) }
  }

  /// With operands of bfloat16, eight bits of each factor are left: results and gradients follow those of fp32 that far.
  @Test(arguments: shapes, [4, 18]) func bfloat16(shape: Shape, headWidth: Int) {
    var (exact, rounded) = (shape, shape)
    (exact.headWidth, rounded.headWidth) = (headWidth, headWidth)
    rounded.operands = OPERAND_BF16
    let inputs = exact.inputs()
    let upstream = Samples(seed: 9).tensor(inputs[0].shape)
    func results(_ shape: Shape) -> [Tensor] {
      let tape = Tape(pool: BufferPool())
      let variables = inputs.map(tape.variable)
      let output = shape.run(tape, variables)
      let value = output.value.copy()
      tape.seed(output, gradient: upstream)
      tape.backward()
      return [value] + variables.compactMap(\.gradient)
    }
    let (plain, paired) = (results(exact), results(rounded))
    #expect(plain.count == paired.count && plain.count == inputs.count + 1)
    for (number, (expected, found)) in zip(plain, paired).enumerated() {
      let norm = expected.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
      let difference = zip(expected.values, found.values).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
        .squareRoot()
      #expect(difference <= 0.01 * norm, "tensor \(number): \(difference) of \(norm)")
      #expect(difference > 0, "tensor \(number) was not rounded")
    }
  }

  @Test func longSequencesTakeSeveralTiles() {
    #expect(Self.shapes.filter { $0.name.contains("tiles") }.map(\.tileCount) == [3, 3])
  }

  /// A sequence's result does not depend on its neighbours, up to rounding; its dropout not at all.
  @Test func sequencesAreAlone() {
    var both = Shape(name: "both", queries: [4, 3], keys: [4, 3], isCausal: true)
    both.dropout = 0.5
    let inputs = both.inputs()
    let tape = Tape(pool: BufferPool(), recordsGradients: false)
    let together = both.run(tape, inputs.map { Variable(constant: $0) }).value
    let lone = PackedLayout(lengths: [3], examples: [4])
    let parts = inputs.map { Variable(constant: $0.rows(4..<7)) }
    let alone = tape.attention(
      q: parts[0], k: parts[1], v: parts[2], queries: lone, keys: lone, form: both.form
    ).value
    for index in 0..<alone.count {
      #expect(abs(alone.pointer[index] - together.rows(4..<7).pointer[index]) < 1e-6)
    }
  }

  /// `softmax(scale * Q Kᵀ + bias) V` sequence by sequence, head by head, in Double.
  private func plainAttention(_ shape: Shape, _ inputs: [Tensor]) -> [Double] {
    let (q, k, v) = (inputs[0], inputs[1], inputs[2])
    let (queries, keys) = shape.layouts()
    let width = shape.heads * shape.headWidth
    var result = [Double](repeating: 0, count: q.count)
    for sequence in queries.lengths.indices {
      for head in 0..<shape.heads {
        for row in 0..<queries.lengths[sequence] {
          let position = keys.lengths[sequence] - queries.lengths[sequence] + row
          let queryStart = (queries.starts[sequence] + row) * width + head * shape.headWidth
          func keyStart(_ key: Int) -> Int { (keys.starts[sequence] + key) * width + head * shape.headWidth }
          let seen = 0..<(shape.isCausal ? position + 1 : keys.lengths[sequence])
          let scores = seen.map { key -> Double in
            let dot = (0..<shape.headWidth).reduce(0.0) {
              $0 + Double(q.pointer[queryStart + $1]) * Double(k.pointer[keyStart(key) + $1])
            }
            guard shape.hasBias else { return Double(shape.scale) * dot }
            let bias = inputs[3].pointer[head * inputs[3].width + keys.longest - 1 + key - position]
            return Double(shape.scale) * dot + Double(bias)
          }
          let largest = scores.max() ?? 0
          let total = scores.reduce(0) { $0 + exp($1 - largest) }
          for column in 0..<shape.headWidth {
            result[queryStart + column] = zip(seen, scores).reduce(0) {
              $0 + exp($1.1 - largest) / total * Double(v.pointer[keyStart($1.0) + column])
            }
          }
        }
      }
    }
    return result
  }
}
