import CKernels
import TensorCore

/// The weights of one direction of one LSTM layer, as PyTorch stores them: gates i, f, g, o one behind another.
public struct LSTMWeights {
  /// `[4E, in]`
  public let input: Variable
  /// `[4E, E]`
  public let recurrent: Variable
  /// `[4E]`, the two biases of PyTorch, which are added.
  public let inputBias: Variable
  public let recurrentBias: Variable

  public init(input: Variable, recurrent: Variable, inputBias: Variable, recurrentBias: Variable) {
    self.input = input
    self.recurrent = recurrent
    self.inputBias = inputBias
    self.recurrentBias = recurrentBias
  }
}

extension Tape {
  /// One direction of an LSTM layer over one sequence, from zero state (Hochreiter & Schmidhuber 1997 with the forget
  /// gate of Gers et al. 2000, as `torch.nn.LSTM`): `c = f c + i g`, `h = o tanh(c)`.
  ///
  /// For networks on the parameter side: a few hundred rows, once per step.
  /// Shapes: x `[T, in]`, result `[T, E]`. Gradient: to x and all weights.
  /// - Parameter isReversed: from the last row to the first; rows keep their places.
  public func lstm(_ x: Variable, _ weights: LSTMWeights, isReversed: Bool) -> Variable {
    let projected = linear(x, weight: weights.input, bias: weights.inputBias)
    let (count, size) = (x.value.rows, weights.recurrent.shape[1])
    precondition(
      weights.recurrent.shape == [4 * size, size] && weights.recurrentBias.shape == [4 * size],
      "lstm: recurrent weight \(weights.recurrent.shape), bias \(weights.recurrentBias.shape)")
    let kernel = LSTMKernel(count: count, size: size, isReversed: isReversed, pool: pool)
    let saved = kernel.forward(
      projected.value, recurrent: weights.recurrent.value, bias: weights.recurrentBias.value)
    let output = result(saved.hidden, of: projected, weights.recurrent, weights.recurrentBias)
    record(output) { [self] gradient in
      let flowed = kernel.backward(saved, gradient: gradient, recurrent: weights.recurrent.value)
      if let target = weights.recurrent.slot?.accumulator(in: pool) {
        multiply(
          Matrix(flowed, transposed: true), Matrix(saved.previous), into: Matrix(target), m: 4 * size, n: size,
          k: count, adds: true)
      }
      if let target = weights.recurrentBias.slot?.accumulator(in: pool) {
        k_column_sums(flowed.pointer, target.pointer, count, 4 * size)
      }
      projected.slot?.add(flowed, in: pool)
    }
    return output
  }
}

private struct LSTMKernel {
  /// What the backward pass reads again; rows in the order of the sequence.
  struct Saved {
    /// Activated gates `[T, 4E]`.
    let gates: Tensor
    /// tanh of the cells `[T, E]`.
    let cellTanh: Tensor
    /// Cells and hidden states before each row `[T, E]`.
    let cellBefore: Tensor
    let previous: Tensor
    let hidden: Tensor
  }

  let count: Int
  let size: Int
  let isReversed: Bool
  let pool: BufferPool

  private var order: [Int] { isReversed ? (0..<count).reversed() : Array(0..<count) }

  /// `sigmoid(x) = (1 + tanh(x / 2)) / 2`: one kernel for all gates, the same on every machine.
  private func activate(_ gates: UnsafeMutablePointer<Float>) {
    let cell = gates + 2 * size
    k_scale(gates, 0.5, 2 * size)
    k_scale(gates + 3 * size, 0.5, size)
    k_activation(ACTIVATION_TANH, gates, gates, 2 * size)
    k_activation(ACTIVATION_TANH, cell, cell, size)
    k_activation(ACTIVATION_TANH, gates + 3 * size, gates + 3 * size, size)
    for index in 0..<2 * size { gates[index] = 0.5 + 0.5 * gates[index] }
    for index in 3 * size..<4 * size { gates[index] = 0.5 + 0.5 * gates[index] }
  }

  func forward(_ projected: Tensor, recurrent: Tensor, bias: Tensor) -> Saved {
    let gates = Tensor([count, 4 * size], in: pool)
    gates.copyElements(from: projected)
    k_add_bias(gates.pointer, bias.pointer, count, 4 * size)
    func rows() -> Tensor {
      let tensor = Tensor([count, size], in: pool)
      tensor.fill(0)
      return tensor
    }
    let saved = Saved(gates: gates, cellTanh: rows(), cellBefore: rows(), previous: rows(), hidden: rows())
    let cell = Tensor(zeros: [size])
    var before: Int?
    for row in order {
      let own = gates.pointer + row * 4 * size
      if let before {
        (saved.previous.pointer + row * size).update(from: saved.hidden.pointer + before * size, count: size)
        multiply(
          Matrix(saved.previous.rows(row..<row + 1)), Matrix(recurrent, transposed: true),
          into: Matrix(own, stride: 4 * size), m: 1, n: 4 * size, k: size, adds: true)
      }
      activate(own)
      (saved.cellBefore.pointer + row * size).update(from: cell.pointer, count: size)
      for index in 0..<size {
        cell.pointer[index] = own[size + index] * cell.pointer[index] + own[index] * own[2 * size + index]
      }
      k_activation(ACTIVATION_TANH, cell.pointer, saved.cellTanh.pointer + row * size, size)
      k_multiply(
        own + 3 * size, saved.cellTanh.pointer + row * size, saved.hidden.pointer + row * size, size)
      before = row
    }
    return saved
  }

  /// The gradient at the gates before activation, `[T, 4E]`.
  func backward(_ saved: Saved, gradient: Tensor, recurrent: Tensor) -> Tensor {
    let flowed = Tensor([count, 4 * size], in: pool)
    let (hidden, cell) = (Tensor(zeros: [1, size]), Tensor(zeros: [size]))
    for row in order.reversed() {
      let gates = saved.gates.pointer + row * 4 * size
      let target = flowed.pointer + row * 4 * size
      for index in 0..<size {
        let (i, f) = (gates[index], gates[size + index])
        let (g, o) = (gates[2 * size + index], gates[3 * size + index])
        let squashed = saved.cellTanh.pointer[row * size + index]
        let dh = gradient.pointer[row * size + index] + hidden.pointer[index]
        let dc = cell.pointer[index] + dh * o * (1 - squashed * squashed)
        target[index] = dc * g * i * (1 - i)
        target[size + index] = dc * saved.cellBefore.pointer[row * size + index] * f * (1 - f)
        target[2 * size + index] = dc * i * (1 - g * g)
        target[3 * size + index] = dh * squashed * o * (1 - o)
        cell.pointer[index] = dc * f
      }
      multiply(
        Matrix(target, stride: 4 * size), Matrix(recurrent), into: Matrix(hidden), m: 1, n: size, k: 4 * size)
    }
    return flowed
  }
}
