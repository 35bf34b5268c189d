import CKernels
import TensorCore

/// How a checkpoint stores a projection.
public enum WeightLayout: Sendable {
  /// `[out, in]`, PyTorch's Linear: `y = x Wᵀ`.
  case outputByInput
  /// `[in, out]`, GPT-2's Conv1D: `y = x W`.
  case inputByOutput
}

/// A frozen projection packed for bfloat16 products: x W forward, dy Wᵀ backward.
public struct PackedProjection: Sendable {
  /// `[in, out]`
  public let forward: PackedMatrix
  /// `[out, in]`
  public let backward: PackedMatrix

  public init(forward: PackedMatrix, backward: PackedMatrix) {
    self.forward = forward
    self.backward = backward
  }
}

extension PackedMatrix {
  /// `y [rows, n] = x W`, x as the bfloat16 bits of `Tape.bfloat16`.
  func multiply(_ x: Tensor, rows: Int, into y: Tensor) {
    x.withBits { multiply($0, rows: rows, into: y.pointer) }
  }
}

/// A low-rank update beside a projection: `y += scaling * (drop(x) Aᵀ) Bᵀ` (LoRA, Hu et al. 2021, eq. 3).
public struct LowRankTerm {
  /// `[R, in]`
  public let a: Variable
  /// `[out, R]`
  public let b: Variable
  public let scaling: Float
  public let dropout: DropoutMask?

  public init(a: Variable, b: Variable, scaling: Float, dropout: DropoutMask? = nil) {
    self.a = a
    self.b = b
    self.scaling = scaling
    self.dropout = dropout
  }
}

extension Tape {
  /// `y = x W (+ bias) (+ low-rank term)`.
  ///
  /// Shapes: x `[n, in]`, weight by `layout`, bias `[out]`, y `[n, out]`. Gradient: to x, and to weight, bias, A and B
  /// where those are trained.
  public func linear(
    _ x: Variable, weight: Variable, bias: Variable? = nil, layout: WeightLayout = .outputByInput,
    lowRank: LowRankTerm? = nil, packed: PackedProjection? = nil
  ) -> Variable {
    let (rows, width) = (x.value.rows, x.value.width)
    let stored = weight.shape
    let (inputs, outputs) = layout == .outputByInput ? (stored[1], stored[0]) : (stored[0], stored[1])
    precondition(width == inputs, "linear: x is \(x.shape), the weight \(stored) takes \(inputs)")
    let value = allocate([rows, outputs])
    let packed = weight.needsGradient ? nil : packed
    if let packed {
      packed.forward.multiply(bfloat16(x.value), rows: rows, into: value)
    } else {
      multiply(
        Matrix(x.value), Matrix(weight.value, transposed: layout == .outputByInput), into: Matrix(value), m: rows,
        n: outputs, k: inputs)
    }
    if let bias { k_add_bias(value.pointer, bias.value.pointer, rows, outputs) }
    let reduced = lowRank.map { addLowRank($0, x: x.value, to: value) }

    let zero = Variable(constant: value)
    let output = result(value, of: x, weight, bias ?? zero, lowRank?.a ?? zero, lowRank?.b ?? zero)
    // Only a trained weight's derivative reads x again, and the low-rank term's A.
    let keptInput = weight.needsGradient || lowRank?.a.needsGradient == true ? x.value : nil
    let inputSlot = x.slot
    record(output) { [self] gradient in
      if let slot = weight.slot, let x = keptInput {
        let target = slot.accumulator(in: pool)
        switch layout {
        case .outputByInput:
          multiply(
            Matrix(gradient, transposed: true), Matrix(x), into: Matrix(target), m: outputs, n: inputs, k: rows,
            beta: 1)
        case .inputByOutput:
          multiply(
            Matrix(x, transposed: true), Matrix(gradient), into: Matrix(target), m: inputs, n: outputs, k: rows,
            beta: 1)
        }
      }
      if let slot = bias?.slot {
        let target = slot.accumulator(in: pool)
        k_column_sums(gradient.pointer, target.pointer, rows, outputs)
      }
      var inputGradient: Tensor?
      if inputSlot != nil {
        let target = allocate([rows, inputs])
        if let packed {
          packed.backward.multiply(bfloat16(gradient, isReadAgain: false), rows: rows, into: target)
        } else {
          multiply(
            Matrix(gradient), Matrix(weight.value, transposed: layout == .inputByOutput), into: Matrix(target),
            m: rows, n: inputs, k: outputs)
        }
        inputGradient = target
      }
      if let lowRank, let reduced {
        lowRankBackward(lowRank, reduced: reduced, x: keptInput, gradient: gradient, inputGradient: inputGradient)
      }
      if let inputGradient { inputSlot?.add(inputGradient, in: pool) }
    }
    return output
  }

  /// Adds the term to `y [n, out]` and returns `drop(x) Aᵀ [n, R]`, which the derivative reads.
  private func addLowRank(_ term: LowRankTerm, x: Tensor, to y: Tensor) -> Tensor {
    let (rows, inputs, outputs) = (x.rows, x.width, y.width)
    let rank = term.a.shape[0]
    precondition(
      term.a.shape == [rank, inputs] && term.b.shape == [outputs, rank],
      "low-rank term \(term.a.shape), \(term.b.shape) beside a projection [\(outputs), \(inputs)]")
    let dropped = term.dropout.map { $0.applied(to: x, pool: pool) } ?? x
    let reduced = allocate([rows, rank])
    multiply(
      Matrix(dropped), Matrix(term.a.value, transposed: true), into: Matrix(reduced), m: rows, n: rank, k: inputs)
    multiply(
      Matrix(reduced), Matrix(term.b.value, transposed: true), into: Matrix(y), m: rows, n: outputs, k: rank,
      alpha: term.scaling, beta: 1)
    return reduced
  }

  private func lowRankBackward(
    _ term: LowRankTerm, reduced: Tensor, x: Tensor?, gradient: Tensor, inputGradient: Tensor?
  ) {
    let (rows, outputs) = (gradient.rows, gradient.width)
    let (rank, inputs) = (term.a.shape[0], term.a.shape[1])
    if let slot = term.b.slot {
      multiply(
        Matrix(gradient, transposed: true), Matrix(reduced), into: Matrix(slot.accumulator(in: pool)), m: outputs,
        n: rank, k: rows, alpha: term.scaling, beta: 1)
    }
    guard term.a.needsGradient || inputGradient != nil else { return }
    let reducedGradient = allocate([rows, rank])
    multiply(
      Matrix(gradient), Matrix(term.b.value), into: Matrix(reducedGradient), m: rows, n: rank, k: outputs,
      alpha: term.scaling)
    if let slot = term.a.slot, let x {
      let dropped = term.dropout.map { $0.applied(to: x, pool: pool) } ?? x
      multiply(
        Matrix(reducedGradient, transposed: true), Matrix(dropped), into: Matrix(slot.accumulator(in: pool)), m: rank,
        n: inputs, k: rows, beta: 1)
    }
    guard let inputGradient else { return }
    if let dropout = term.dropout {
      let through = allocate([rows, inputs])
      multiply(
        Matrix(reducedGradient), Matrix(term.a.value), into: Matrix(through), m: rows, n: inputs, k: rank)
      dropout.apply(to: through)
      k_accumulate(inputGradient.pointer, through.pointer, 1, through.count)
    } else {
      multiply(
        Matrix(reducedGradient), Matrix(term.a.value), into: Matrix(inputGradient), m: rows, n: inputs, k: rank,
        beta: 1)
    }
  }
}
