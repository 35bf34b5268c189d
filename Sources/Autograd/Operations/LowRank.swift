import CKernels
import TensorCore

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

/// The arithmetic of a low-rank term within the projection it stands beside.
struct LowRankUpdate {
  private let term: LowRankTerm
  private let isHalf: Bool
  private let tape: Tape

  /// - Parameter isHalf: whether operands are fp16 numbers.
  init(_ term: LowRankTerm, isHalf: Bool, tape: Tape) {
    self.term = term
    self.isHalf = isHalf
    self.tape = tape
  }

  private var pool: BufferPool { tape.pool }
  private var rank: Int { term.a.shape[0] }
  private var inputs: Int { term.a.shape[1] }

  private func operand(_ factor: Variable) -> Tensor { isHalf ? tape.rounded(factor.value) : factor.value }

  private func round(_ x: Tensor) {
    if isHalf { k_round_fp16(x.pointer, x.pointer, x.count) }
  }

  private func dropped(_ x: Tensor) -> Tensor {
    guard let dropout = term.dropout else { return x }
    let y = dropout.applied(to: x, pool: pool)
    round(y)
    return y
  }

  /// Adds the term to `y [n, out]` and returns `drop(x) Aᵀ [n, R]`, which the derivative reads.
  func add(to y: Tensor, x: Tensor) -> Tensor {
    let (rows, outputs) = (x.rows, y.width)
    precondition(
      term.a.shape == [rank, x.width] && term.b.shape == [outputs, rank],
      "low-rank term \(term.a.shape), \(term.b.shape) beside a projection [\(outputs), \(x.width)]")
    let reduced = Tensor([rows, rank], in: pool)
    multiply(
      Matrix(dropped(x)), Matrix(operand(term.a), transposed: true), into: Matrix(reduced), m: rows, n: rank, k: inputs)
    round(reduced)
    multiply(
      Matrix(reduced), Matrix(operand(term.b), transposed: true), into: Matrix(y), m: rows, n: outputs, k: rank,
      alpha: term.scaling, adds: true)
    return reduced
  }

  /// - Parameter inputGradient: added to.
  func backward(reduced: Tensor, x: Tensor?, gradient: Tensor, inputGradient: Tensor?) {
    let (rows, outputs) = (gradient.rows, gradient.width)
    if let slot = term.b.slot {
      multiply(
        Matrix(gradient, transposed: true), Matrix(reduced), into: Matrix(slot.accumulator(in: pool)), m: outputs,
        n: rank, k: rows, alpha: term.scaling, adds: true)
    }
    guard term.a.needsGradient || inputGradient != nil else { return }
    let reducedGradient = Tensor([rows, rank], in: pool)
    multiply(
      Matrix(gradient), Matrix(operand(term.b)), into: Matrix(reducedGradient), m: rows, n: rank, k: outputs,
      alpha: term.scaling)
    round(reducedGradient)
    if let slot = term.a.slot, let x {
      multiply(
        Matrix(reducedGradient, transposed: true), Matrix(dropped(x)), into: Matrix(slot.accumulator(in: pool)),
        m: rank, n: inputs, k: rows, adds: true)
    }
    guard let inputGradient else { return }
    let a = operand(term.a)
    if let dropout = term.dropout {
      let through = Tensor([rows, inputs], in: pool)
      multiply(Matrix(reducedGradient), Matrix(a), into: Matrix(through), m: rows, n: inputs, k: rank)
      dropout.apply(to: through)
      k_accumulate(inputGradient.pointer, through.pointer, 1, through.count)
    } else {
      multiply(
        Matrix(reducedGradient), Matrix(a), into: Matrix(inputGradient), m: rows, n: inputs, k: rank, adds: true)
    }
  }
}
