import CKernels
import TensorCore
import Testing

@testable import Autograd

/// Every operation but attention against central differences.
@Suite struct OperationGradientTests {
  private let layout = PackedLayout(lengths: [3, 1, 2], examples: [4, 0, 9])

  private func mask(rate: Float = 0.4, _ layout: PackedLayout) -> DropoutMask {
    DropoutMask(
      rate: rate, generator: CounterGenerator(seed: 3, purpose: .dropout, step: 5, site: 2), layout: layout)
  }

  @Test(arguments: [WeightLayout.outputByInput, .inputByOutput]) func linear(weights: WeightLayout) {
    let shape = weights == .outputByInput ? [4, 5] : [5, 4]
    GradientCheck().run([
      Samples(seed: 1).tensor([6, 5]), Samples(seed: 2).tensor(shape), Samples(seed: 3).tensor([4]),
    ]) { $0.linear($1[0], weight: $1[1], bias: $1[2], layout: weights) }
  }

  @Test(arguments: [WeightLayout.outputByInput, .inputByOutput]) func lowRankTerm(weights: WeightLayout) {
    let shape = weights == .outputByInput ? [4, 5] : [5, 4]
    for dropout in [nil, mask(layout)] {
      GradientCheck().run([
        Samples(seed: 1).tensor([6, 5]), Samples(seed: 2).tensor(shape), Samples(seed: 3).tensor([2, 5]),
        Samples(seed: 4).tensor([4, 2]),
      ]) { tape, inputs in
        tape.linear(
          inputs[0], weight: inputs[1], layout: weights,
          lowRank: LowRankTerm(a: inputs[2], b: inputs[3], scaling: 1.5, dropout: dropout))
      }
    }
  }

  @Test func dropoutOfTheLowRankTermLeavesTheProjectionWhole() {
    let (x, weight) = (Samples(seed: 1).tensor([6, 5]), Samples(seed: 2).tensor([4, 5]))
    let tape = Tape(pool: BufferPool(), recordsGradients: false)
    let zero = LowRankTerm(
      a: Variable(constant: Samples(seed: 3).tensor([2, 5])), b: Variable(constant: Tensor(zeros: [4, 2])),
      scaling: 1, dropout: mask(layout))
    let plain = tape.linear(Variable(constant: x), weight: Variable(constant: weight))
    let adapted = tape.linear(Variable(constant: x), weight: Variable(constant: weight), lowRank: zero)
    #expect(adapted.value.hasSameBytes(as: plain.value))
  }

  @Test func frozenInputsGetNoGradient() {
    let tape = Tape(pool: BufferPool())
    let x = Variable(constant: Samples(seed: 1).tensor([6, 5]))
    let weight = tape.variable(Samples(seed: 2).tensor([4, 5]))
    let y = tape.linear(x, weight: weight)
    tape.seed(y, gradient: Samples(seed: 3).tensor([6, 4]))
    tape.backward()
    #expect(x.gradient == nil && !x.needsGradient)
    #expect(weight.gradient != nil)
    #expect(!tape.linear(x, weight: Variable(constant: weight.value)).needsGradient)
  }

  @Test func rmsNorm() {
    GradientCheck().run([Samples(seed: 1).tensor([4, 19]), Samples(seed: 2).tensor([19], around: 1)]) {
      $0.rmsNorm($1[0], weight: $1[1], epsilon: 1e-6)
    }
  }

  @Test func embeddingSumsRepeatedIDs() {
    GradientCheck().run([Samples(seed: 1).tensor([5, 3])]) { $0.embedding($1[0], ids: [2, 0, 2, 4, 2]) }
  }

  @Test func prepend() {
    GradientCheck().run([Samples(seed: 1).tensor([2, 3]), Samples(seed: 2).tensor([6, 3])]) { [layout] in
      $0.prepend($1[0], to: $1[1], layout: layout)
    }
  }

  @Test func rowsOfAValue() {
    GradientCheck().run([Samples(seed: 1).tensor([5, 3])]) { $0.rows($1[0], 1..<4) }
  }

  static let kinds: [(String, Activation)] = [
    ("relu", ACTIVATION_RELU), ("gelu_new", ACTIVATION_GELU_NEW), ("gelu", ACTIVATION_GELU),
    ("silu", ACTIVATION_SILU), ("tanh", ACTIVATION_TANH),
  ]

  @Test(arguments: kinds) func activation(kind: (name: String, activation: Activation)) {
    GradientCheck().run([Samples(seed: 1).tensorAwayFromZero([7, 5])]) {
      $0.activation(kind.activation, $1[0])
    }
  }

  @Test(arguments: kinds) func gated(kind: (name: String, activation: Activation)) {
    GradientCheck().run([Samples(seed: 1).tensorAwayFromZero([7, 5]), Samples(seed: 2).tensor([7, 5])]) {
      $0.gated(kind.activation, gate: $1[0], $1[1])
    }
  }

  @Test func scaledAndDropped() {
    GradientCheck().run([Samples(seed: 1).tensor([6, 8])]) { [layout] tape, inputs in
      tape.dropout(tape.scaled(inputs[0], by: -1.75), mask(layout))
    }
  }

  @Test func residual() {
    for mask in [nil, mask(layout)] {
      GradientCheck().run([Samples(seed: 1).tensor([6, 8]), Samples(seed: 2).tensor([6, 8])]) {
        $0.residual($1[0], adding: $1[1], mask)
      }
    }
  }

  /// One value on both sides of an addition: its gradients add up, and neither side writes into the other's.
  @Test func aValueUsedTwice() {
    GradientCheck().run([Samples(seed: 1).tensor([6, 8])]) { tape, inputs in
      let squashed = tape.activation(ACTIVATION_TANH, inputs[0])
      return tape.residual(squashed, adding: tape.residual(inputs[0], adding: squashed))
    }
  }

  @Test func offsetBias() {
    GradientCheck().run([Samples(seed: 1).tensor([4, 2])]) {
      $0.offsetBias(table: $1[0], bucketOfOffset: [3, 2, 2, 0, 1], zero: 2).values
    }
  }
}

/// Both forms of the loss.
@Suite struct CrossEntropyGradientTests {
  private let labels: [Int32] = [3, ignoredLabel, 0, 8, 3]

  @Test func fromHiddenStates() {
    GradientCheck().run(
      loss: [Samples(seed: 1).tensor([5, 4], scale: 2), Samples(seed: 2).tensor([9, 4])], scale: 0.7
    ) { tape, inputs, scale in
      tape.linearCrossEntropy(inputs[0], head: inputs[1], labels: labels, gradientScale: scale).reduce(0, +)
    }
  }

  @Test func fromLogits() {
    GradientCheck().run(loss: [Samples(seed: 1).tensor([5, 9], scale: 3)], scale: 0.7) {
      tape, inputs, scale in
      tape.crossEntropy(inputs[0], labels: labels, gradientScale: scale).reduce(0, +)
    }
  }

  /// A vocabulary so wide that the rows need two tiles: the same as from logits at once.
  @Test func severalTiles() throws {
    let (rows, width, columns) = (60, 2, 150_000)
    let (h, head) = (
      Samples(seed: 1).tensor([rows, width], scale: 4), Samples(seed: 2).tensor([columns, width])
    )
    let labels = (0..<rows).map { $0 == 5 ? ignoredLabel : Int32($0 * 2_401) }
    let whole = Tape(pool: BufferPool())
    let (wholeH, wholeHead) = (whole.variable(h), whole.variable(head))
    let expected = whole.crossEntropy(
      whole.linear(wholeH, weight: wholeHead), labels: labels, gradientScale: 3
    ).reduce(0, +)
    whole.backward()
    let tiled = Tape(pool: BufferPool())
    let (tiledH, tiledHead) = (tiled.variable(h), tiled.variable(head))
    let found = tiled.linearCrossEntropy(tiledH, head: tiledHead, labels: labels, gradientScale: 3).reduce(0, +)
    #expect(abs(found - expected) < 1e-5 * expected)
    for (found, expected) in [(tiledH.gradient, wholeH.gradient), (tiledHead.gradient, wholeHead.gradient)] {
      let (found, expected) = (try #require(found).values, try #require(expected).values)
      let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? .nan
      #expect(worst < 1e-5)
      #expect(expected.contains { abs($0) > 0.01 })
    }
  }

  /// A head in bfloat16, in panels or as oneDNN packs it: the loss and gradient of the rounded operands, far closer than bfloat16 results
  /// would be.
  @Test func fromAHeadInBFloat16() throws {
    let (rows, width, columns) = (5, 32, 48)
    let (h, head) = (Samples(seed: 1).tensor([rows, width]), Samples(seed: 2).tensor([columns, width]))
    // Numbers of 8 significant bits: packing and operands round nothing.
    for tensor in [h, head] {
      for index in 0..<tensor.count { tensor.pointer[index] = (tensor.pointer[index] * 32).rounded() / 32 }
    }
    let panels = PanelMatrix(head, format: WEIGHT_BF16, in: BufferPool())
    var forms = [FrozenProjection.panels(panels)]
    if (try? PackedMatrix.byteCount(k: width, n: columns)) != nil {
      forms.append(
        .packed(
          PackedProjection(
            forward: try PackedMatrix(head, transposed: true, k: width, n: columns),
            backward: try PackedMatrix(head, transposed: false, k: columns, n: width))))
    }
    func result(_ frozen: FrozenProjection?) throws -> (loss: Double, gradient: [Float]) {
      let tape = Tape(pool: BufferPool(), precision: frozen == nil ? .fp32 : .bf16)
      let h = tape.variable(h)
      let loss = tape.linearCrossEntropy(
        h, head: Variable(constant: head), frozen: frozen, labels: labels, gradientScale: 3
      ).reduce(0, +)
      return (loss, try #require(h.gradient).values)
    }
    let expected = try result(nil)
    let largest = expected.gradient.map(abs).max() ?? 0
    for form in forms {
      let found = try result(form)
      #expect(abs(found.loss - expected.loss) < 1e-4 * expected.loss)
      #expect(zip(found.gradient, expected.gradient).allSatisfy { abs($0 - $1) < largest / 128 })
      // The gradient's left operand is rounded: not to differ at all would mean that the head was not read.
      #expect(found.gradient != expected.gradient)
    }
  }
}
