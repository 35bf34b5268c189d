import Autograd
import TensorCore
import Testing

/// Derivatives of an operation against central differences of a scalar, the result weighted by fixed random numbers and
/// summed in Double.
struct GradientCheck {
  /// Half the distance of the two points a difference is taken over.
  var step: Float = 1e-2
  /// A derivative d may be off by `tolerance * max(1, |d|)`; fp32 forward passes leave errors of about 1e-4.
  var tolerance = 2e-3
  /// Of larger inputs only this many entries are checked, evenly spread.
  var entriesPerInput = 40

  /// The operation: a value to be weighted, built from variables over the inputs.
  typealias Operation = (Tape, [Variable]) -> Variable
  /// A loss: the plain sum; it seeds the gradient of `scale` times that sum itself.
  typealias Loss = (_ tape: Tape, _ inputs: [Variable], _ scale: Float) -> Double

  private let pool = BufferPool()

  func run(_ inputs: [Tensor], sourceLocation: SourceLocation = #_sourceLocation, _ operation: Operation) {
    let shape = operation(Tape(pool: pool, recordsGradients: false), inputs.map { Variable(constant: $0) })
      .shape
    let weights = Samples(seed: 4711).tensor(shape)
    compare(
      inputs, sourceLocation,
      value: { tape, variables in
        zip(operation(tape, variables).value.values, weights.values).reduce(0) {
          $0 + Double($1.0) * Double($1.1)
        }
      },
      gradients: { tape, variables in tape.seed(operation(tape, variables), gradient: weights) })
  }

  func run(
    loss inputs: [Tensor], scale: Float, sourceLocation: SourceLocation = #_sourceLocation, _ loss: Loss
  ) {
    compare(
      inputs, sourceLocation, value: { loss($0, $1, 0) * Double(scale) },
      gradients: { _ = loss($0, $1, scale) })
  }

  private func compare(
    _ inputs: [Tensor], _ sourceLocation: SourceLocation, value: (Tape, [Variable]) -> Double,
    gradients: (Tape, [Variable]) -> Void
  ) {
    let tape = Tape(pool: pool)
    let variables = inputs.map(tape.variable)
    gradients(tape, variables)
    tape.backward()
    func difference(_ input: Tensor, _ index: Int) -> Double {
      let middle = input.pointer[index]
      defer { input.pointer[index] = middle }
      func moved(_ step: Float) -> Double {
        input.pointer[index] = middle + step
        return value(Tape(pool: pool, recordsGradients: false), inputs.map { Variable(constant: $0) })
      }
      let (upper, lower) = (moved(step), moved(-step))
      return (upper - lower) / (Double(middle + step) - Double(middle - step))
    }
    var largest = 0.0
    for (number, (input, variable)) in zip(inputs, variables).enumerated() {
      guard let gradient = variable.gradient else {
        Issue.record("no gradient reached input \(number)", sourceLocation: sourceLocation)
        continue
      }
      #expect(gradient.shape == input.shape, sourceLocation: sourceLocation)
      for index in stride(from: 0, to: input.count, by: max(1, input.count / entriesPerInput)) {
        let (found, expected) = (Double(gradient.pointer[index]), difference(input, index))
        largest = max(largest, abs(expected))
        #expect(
          abs(found - expected) <= tolerance * max(1, abs(expected)),
          "input \(number), entry \(index): derivative \(found), difference \(expected)",
          sourceLocation: sourceLocation)
      }
    }
    #expect(largest > 0.05, "derivatives this small show nothing", sourceLocation: sourceLocation)
  }
}

/// Fixed numbers to compute with, from -1 to 1.
struct Samples {
  private let generator: CounterGenerator

  init(seed: UInt64) { generator = CounterGenerator(seed: seed, purpose: .bench) }

  func tensor(_ shape: [Int], scale: Float = 1, around center: Float = 0) -> Tensor {
    let result = Tensor(zeros: shape)
    for index in 0..<result.count {
      result.pointer[index] = center + scale * Float(2 * generator.uniform(at: UInt64(index)) - 1)
    }
    return result
  }

  /// As `tensor`, without numbers near 0, where relu has no derivative.
  func tensorAwayFromZero(_ shape: [Int]) -> Tensor {
    let result = tensor(shape)
    for index in 0..<result.count {
      let value = result.pointer[index]
      result.pointer[index] = value < 0 ? value - 0.1 : value + 0.1
    }
    return result
  }
}
