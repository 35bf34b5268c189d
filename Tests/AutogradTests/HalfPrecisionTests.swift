import CKernels
import Testing

@testable import Autograd
@testable import TensorCore

/// Operations on an fp16 tape: what is rounded, what is kept, and how far results are from fp32.
@Suite struct HalfPrecisionTests {
  private let layout = PackedLayout(lengths: [5, 1, 6], examples: [4, 0, 9])

  private static func isHalf(_ tensor: Tensor) -> Bool {
    tensor.values.allSatisfy { reference_fp16_to_float(reference_float_to_fp16($0)) == $0 }
  }

  private static func rounded(_ tensor: Tensor) -> Tensor {
    Tensor(tensor.values.map { reference_fp16_to_float(reference_float_to_fp16($0)) }, shape: tensor.shape)
  }

  /// Value and gradients of an operation whose inputs pass a norm first, as a projection's do.
  private func results(
    _ precision: Precision, _ inputs: [Tensor], upstream: Float = 1, _ operation: GradientCheck.Operation
  ) -> (value: Tensor, gradients: [Tensor]) {
    let tape = Tape(pool: BufferPool(), precision: precision)
    let variables = inputs.map(tape.variable)
    let output = operation(tape, variables)
    let value = output.value.copy()
    let seed = Samples(seed: 12).tensor(output.shape)
    k_scale(seed.pointer, upstream, seed.count)
    tape.seed(output, gradient: seed)
    tape.backward()
    return (value, variables.compactMap { $0.gradient?.copy() })
  }

  /// Norm of the difference over norm of what is expected.
  private func distance(_ found: Tensor, _ expected: Tensor) -> Double {
    let norm = expected.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    let difference = zip(found.values, expected.values).reduce(0) {
      $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
    }
    return difference.squareRoot() / norm
  }

  // MARK: Close to fp32, and rounded

  private struct Case: CustomTestStringConvertible {
    let testDescription: String
    /// Shapes of the inputs.
    let shapes: [[Int]]
    let operation: @Sendable (Tape, [Variable]) -> Variable
  }

  private static let dropout = DropoutMask(
    rate: 0.4, generator: CounterGenerator(seed: 3, purpose: .dropout, step: 5, site: 2),
    layout: PackedLayout(lengths: [5, 1, 6], examples: [4, 0, 9]))

  private static var form: AttentionForm { AttentionForm(heads: 2, headWidth: 8, scale: 0.5, causal: false) }

  private static func cases() -> [Case] {
    let layout = PackedLayout(lengths: [5, 1, 6], examples: [4, 0, 9])
    return [
      Case(testDescription: "linear", shapes: [[12, 33], [20, 33], [20]]) {
        $0.linear($1[0], weight: $1[1], bias: $1[2])
      },
      Case(testDescription: "low-rank term", shapes: [[12, 33], [20, 33], [3, 33], [20, 3]]) {
        $0.linear(
          $1[0], weight: $1[1], lowRank: LowRankTerm(a: $1[2], b: $1[3], scaling: 1.5, dropout: dropout))
      },
      Case(testDescription: "norm", shapes: [[12, 33], [33]]) { $0.rmsNorm($1[0], weight: $1[1], epsilon: 1e-6) },
      Case(testDescription: "attention", shapes: Array(repeating: [12, 16], count: 3)) {
        $0.attention(q: $1[0], k: $1[1], v: $1[2], queries: layout, keys: layout, form: form)
      },
      Case(testDescription: "absorbed attention", shapes: [[12, 16], [12, 24]]) {
        let weights = (5...6).map { Variable(constant: Samples(seed: UInt64($0)).tensor([16, 24])) }
        return $0.absorbedAttention(
          q: $1[0], states: $1[1], keyWeight: weights[0], valueWeight: weights[1], queries: layout, keys: layout,
          form: form)
      },
      Case(testDescription: "gated", shapes: [[12, 33], [12, 33]]) { tape, x in
        tape.gated(ACTIVATION_GELU_NEW, gate: tape.operand(x[0]), tape.operand(x[1]))
      },
      Case(testDescription: "gelu, dropout", shapes: [[12, 33]]) { tape, x in
        tape.dropout(tape.activation(ACTIVATION_GELU_NEW, tape.operand(x[0])), dropout)
      },
      Case(testDescription: "relu", shapes: [[12, 33]]) { $0.activation(ACTIVATION_RELU, $0.operand($1[0])) },
      Case(testDescription: "prefix", shapes: [[2, 33], [12, 33]]) {
        $0.prepend($1[0], to: $0.operand($1[1]), layout: layout)
      },
    ]
  }

  @Test(arguments: cases()) private func roundsAndStaysClose(subject: Case) {
    let inputs = subject.shapes.enumerated().map { Samples(seed: UInt64(20 + $0.offset)).tensor($0.element) }
    let (exact, half) = (
      results(.fp32, inputs, subject.operation), results(.fp16, inputs, subject.operation)
    )
    #expect(Self.isHalf(half.value) && !Self.isHalf(exact.value))
    #expect(distance(half.value, exact.value) < 1e-3)
    #expect(half.gradients.count == inputs.count && exact.gradients.count == inputs.count)
    for (index, (found, expected)) in zip(half.gradients, exact.gradients).enumerated() {
      #expect(distance(found, expected) < 2e-3, "gradient \(index)")
      #expect(!found.hasSameBytes(as: expected), "gradient \(index) was not rounded on its way")
    }
    #expect(results(.bf16, inputs, subject.operation).value.hasSameBytes(as: exact.value))
  }

  /// One rounding of everything that was added up, weights and inputs rounded before.
  @Test func aProjectionIsRoundedOnce() {
    let (x, w) = (Samples(seed: 1).tensor([12, 33]), Samples(seed: 2).tensor([20, 33]))
    let bias = Samples(seed: 3).tensor([20])
    let tape = Tape(pool: BufferPool(), recordsGradients: false)
    let sum = tape.linear(
      Variable(constant: Self.rounded(x)), weight: Variable(constant: Self.rounded(w)),
      bias: Variable(constant: bias))
    let half = Tape(pool: BufferPool(), recordsGradients: false, precision: .fp16)
    let y = half.linear(
      Variable(constant: x), weight: Variable(constant: w), bias: Variable(constant: bias))
    #expect(y.value.hasSameBytes(as: Self.rounded(sum.value)))
    // Stored in fp16: the same bits, for many rows and for few.
    let stored = PanelMatrix(w, format: WEIGHT_FP16, in: BufferPool())
    let again = half.linear(
      Variable(constant: x), weight: Variable(constant: w), bias: Variable(constant: bias), frozen: .panels(stored))
    #expect(again.value.hasSameBytes(as: y.value))
    let kept = half.linear(
      Variable(constant: x), weight: Variable(constant: w), bias: Variable(constant: bias), keepsFP32: true)
    let plain = tape.linear(Variable(constant: x), weight: Variable(constant: w), bias: Variable(constant: bias))
    #expect(kept.value.hasSameBytes(as: plain.value) && !kept.isHalf)
  }

  @Test(arguments: [WeightLayout.outputByInput, .inputByOutput]) func storedWeightsWorkBothWays(layout: WeightLayout) {
    let shape = layout == .outputByInput ? [160, 128] : [128, 160]
    let w = Samples(seed: 2).tensor(shape)
    let stored = PanelMatrix(w, isInputByOutput: layout == .inputByOutput, format: WEIGHT_FP16, in: BufferPool())
    for rows in [3, 40] {
      let x = Samples(seed: 1).tensor([rows, 128])
      let (plain, half) = [nil, .panels(stored)].map { frozen in
        results(.fp16, [x]) {
          $0.linear($1[0], weight: Variable(constant: w), layout: layout, frozen: frozen)
        }
      }.pair
      #expect(half.value.hasSameBytes(as: plain.value) && half.gradients[0].hasSameBytes(as: plain.gradients[0]))
    }
  }

  @Test func theResidualStreamIsNotRounded() {
    let inputs = (1...2).map { Samples(seed: $0).tensor([12, 33]) }
    let (exact, half) = [Precision.fp32, .fp16].map { precision in
      results(precision, inputs) { $0.residual($1[0], adding: $1[1], Self.dropout) }
    }.pair
    #expect(half.value.hasSameBytes(as: exact.value))
    for (found, expected) in zip(half.gradients, exact.gradients) { #expect(found.hasSameBytes(as: expected)) }
  }

  // MARK: The range of fp16

  @Test func largeResultsAreInfinite() {
    let x = Tensor([300, -300], shape: [1, 2])
    let w = Tensor([300, 0, 0, 300], shape: [2, 2])
    let tape = Tape(pool: BufferPool(), precision: .fp16)
    let y = tape.linear(Variable(constant: x), weight: Variable(constant: w))
    #expect(y.value.values == [.infinity, -.infinity])
    let kept = tape.linear(Variable(constant: x), weight: Variable(constant: w), keepsFP32: true)
    #expect(kept.value.values == [90_000, -90_000])
  }

  /// Gradients below 2^-25 vanish, those of a scaled loss do not, those of fp32 neither.
  @Test func smallGradientsVanish() {
    let inputs = [Samples(seed: 1).tensor([12, 33]), Samples(seed: 2).tensor([20, 33])]
    func gradient(_ precision: Precision, _ upstream: Float) -> Tensor {
      results(precision, inputs, upstream: upstream) { tape, x in tape.linear(x[0], weight: x[1]) }.gradients[0]
    }
    let scale: Float = 0x1p16
    let (exact, flushed) = (gradient(.fp32, 1e-9), gradient(.fp16, 1e-9))
    #expect(flushed.values.allSatisfy { $0 == 0 } && exact.values.contains { $0 != 0 })
    let scaled = gradient(.fp16, 1e-9 * scale)
    k_scale(scaled.pointer, 1 / scale, scaled.count)
    #expect(distance(scaled, exact) < 2e-2)
    #expect(gradient(.fp16, 1e6).values.contains { !$0.isFinite })
  }

  // MARK: What is kept

  /// Bytes held for the backward pass, values given up.
  private func kept(_ precision: Precision, _ forward: (Tape) -> Void) -> Int {
    let pool = BufferPool()
    let tape = Tape(pool: pool, precision: precision)
    return withExtendedLifetime(tape) {
      forward(tape)
      return pool.heldByteCount
    }
  }

  @Test func activationsAreKeptInHalfTheMemory() {
    // 64 rows of 64 in fp32 fill 16 KB; sizes are powers of two, so that buffers have no slack.
    let inputs = (1...3).map { Samples(seed: $0).tensor([64, 64]) }
    let whole = PackedLayout(lengths: [64], examples: [0])
    func attention(_ tape: Tape) {
      let (q, k, v) = (tape.halved(inputs[0]), tape.halved(inputs[1]), tape.halved(inputs[2]))
      _ = tape.attention(
        q: q, k: k, v: v, queries: whole, keys: whole,
        form: AttentionForm(heads: 1, headWidth: 64, scale: 1, causal: false))
    }
    // One log-sum-exp a row, in fp32.
    #expect(kept(.fp32, attention) == 3 * 16_384 + 256)
    #expect(kept(.fp16, attention) == 3 * 8_192 + 256)

    func gated(_ tape: Tape) {
      _ = tape.gated(ACTIVATION_GELU_NEW, gate: tape.halved(inputs[0]), tape.halved(inputs[1]))
    }
    #expect(kept(.fp32, gated) == 2 * 16_384)
    #expect(kept(.fp16, gated) == 2 * 8_192)

    // Two projections read one input: its bits are kept once.
    func projections(_ tape: Tape) {
      let x = tape.halved(inputs[0])
      for _ in 0..<2 { _ = tape.linear(x, weight: tape.variable(inputs[1])) }
    }
    #expect(kept(.fp32, projections) == 16_384)
    #expect(kept(.fp16, projections) == 8_192)
  }
}

extension Tape {
  /// A differentiable value from the pool, of fp16 numbers on an fp16 tape.
  fileprivate func halved(_ x: Tensor) -> Variable {
    let value = allocate(x.shape)
    value.copyElements(from: x)
    return halfResult(value, of: variable(x))
  }
}

extension Array {
  fileprivate var pair: (Element, Element) { (self[0], self[1]) }
}
