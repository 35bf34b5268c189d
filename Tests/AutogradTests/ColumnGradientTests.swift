import TensorCore
import Testing

@testable import Autograd

/// Operations on columns and the LSTM against central differences.
@Suite struct ColumnGradientTests {
  private let x = Samples(seed: 1).tensor([5, 4])
  private let y = Samples(seed: 2).tensor([5, 3])

  @Test(arguments: [[4], [4, 1], [1, 4]]) func columnScaled(shape: [Int]) {
    GradientCheck().run([x, Samples(seed: 3).tensor(shape)]) { $0.columnScaled($1[0], by: $1[1]) }
  }

  @Test func columnScaledValues() {
    let tape = Tape(pool: BufferPool(), recordsGradients: false)
    let factors: [Float] = [1, -2, 0, 4]
    let result = tape.columnScaled(Variable(constant: x), by: Variable(constant: Tensor(factors, shape: [4])))
    for index in 0..<20 { #expect(result.value.values[index] == x.values[index] * factors[index % 4]) }
  }

  @Test func columnsOfAValueUsedTwice() {
    GradientCheck().run([x]) { tape, inputs in
      tape.besides(tape.columns(inputs[0], 1..<4), tape.columns(inputs[0], 0..<2))
    }
  }

  @Test func sideBySideAndAbove() {
    GradientCheck().run([x, y]) { $0.besides($1[0], $1[1]) }
    GradientCheck().run([x, Samples(seed: 4).tensor([2, 4])]) { $0.above($1[0], $1[1]) }
    GradientCheck().run([x]) { $0.above($1[0], $1[0]) }
  }

  @Test func quotientAndBias() {
    let divisors = Samples(seed: 5).tensor([5, 4], scale: 0.5, around: 2)
    GradientCheck().run([x]) { $0.quotient($1[0], by: divisors) }
    GradientCheck().run([x, Samples(seed: 6).tensor([4])]) { $0.biased($1[0], by: $1[1]) }
  }

  @Test(arguments: [false, true]) func lstm(isReversed: Bool) {
    GradientCheck().run([
      Samples(seed: 7).tensor([6, 4]), Samples(seed: 8).tensor([12, 4]), Samples(seed: 9).tensor([12, 3]),
      Samples(seed: 10).tensor([12]), Samples(seed: 11).tensor([12]),
    ]) { tape, inputs in
      tape.lstm(
        inputs[0],
        LSTMWeights(
          input: inputs[1], recurrent: inputs[2], inputBias: inputs[3], recurrentBias: inputs[4]),
        isReversed: isReversed)
    }
  }
}
