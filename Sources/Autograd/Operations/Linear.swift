import CKernels
import TensorCore

/// How a checkpoint stores a projection.
public enum WeightLayout: Sendable {
  /// `[out, in]`, PyTorch's Linear: `y = x Wᵀ`.
  case outputByInput
  /// `[in, out]`, GPT-2's Conv1D: `y = x W`.
  case inputByOutput
}

/// A frozen projection packed for oneDNN's bfloat16 products: x W forward, dy Wᵀ backward.
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

/// A frozen projection in the form its precision multiplies.
public enum FrozenProjection: Sendable {
  /// oneDNN's bfloat16.
  case packed(PackedProjection)
  /// fp32, fp16 or bfloat16.
  case panels(PanelMatrix)
}

extension PackedMatrix {
  /// `y [rows, n] = x W`, x as the bfloat16 bits of `Tape.bfloat16`.
  func multiply(_ x: Tensor, rows: Int, into y: Tensor) {
    x.withBits { multiply($0, rows: rows, into: y.pointer) }
  }
}

/// The weight of one projection and the products it is read by.
struct ProjectionWeight {
  let weight: Tensor
  let layout: WeightLayout
  let frozen: FrozenProjection?
  /// Whether operands are fp16 numbers.
  let isHalf: Bool
  let tape: Tape

  /// `y = x W`
  func project(_ x: Tensor, into y: Tensor) {
    switch frozen {
    case .packed(let packed)?: packed.forward.multiply(tape.bfloat16(x), rows: x.rows, into: y)
    case .panels(let panels)?: panels.multiply(x, into: y)
    case nil: multiply(x, transposed: layout == .outputByInput, into: y)
    }
  }

  /// `dx = dy Wᵀ`
  func projectBack(_ dy: Tensor, into dx: Tensor) {
    switch frozen {
    case .packed(let packed)?:
      packed.backward.multiply(tape.bfloat16(dy, isReadAgain: false), rows: dy.rows, into: dx)
    case .panels(let panels)?: panels.multiplyBack(dy, into: dx)
    case nil: multiply(dy, transposed: layout == .inputByOutput, into: dx)
    }
  }

  private func multiply(_ x: Tensor, transposed: Bool, into y: Tensor) {
    let factor = isHalf ? tape.rounded(weight) : weight
    TensorCore.multiply(
      Matrix(x), Matrix(factor, transposed: transposed), into: Matrix(y), m: x.rows, n: y.width, k: x.width)
  }
}

extension Tape {
  /// `y = x W (+ bias) (+ low-rank term)`.
  ///
  /// On an fp16 tape x, W, A, B and `x Aᵀ` are rounded to fp16, products are summed in fp32, and y is rounded once, when
  /// everything has been added. Gradients of trained tensors are summed in fp32 and stay so.
  /// Shapes: x `[n, in]`, weight by `layout`, bias `[out]`, y `[n, out]`. Gradient: to x, and to weight, bias, A and B
  /// where those are trained.
  /// - Parameters:
  ///   - frozen: the weight in the tape's precision; not read where the weight is trained.
  ///   - keepsFP32: no rounding to fp16.
  public func linear(
    _ x: Variable, weight: Variable, bias: Variable? = nil, layout: WeightLayout = .outputByInput,
    lowRank: LowRankTerm? = nil, frozen: FrozenProjection? = nil, keepsFP32: Bool = false
  ) -> Variable {
    let isHalf = precision == .fp16 && !keepsFP32
    let x = isHalf ? operand(x) : x
    let (rows, width) = (x.value.rows, x.value.width)
    let stored = weight.shape
    let (inputs, outputs) = layout == .outputByInput ? (stored[1], stored[0]) : (stored[0], stored[1])
    precondition(width == inputs, "linear: x is \(x.shape), the weight \(stored) takes \(inputs)")
    let value = allocate([rows, outputs])
    let projection = ProjectionWeight(
      weight: weight.value, layout: layout, frozen: weight.needsGradient ? nil : frozen, isHalf: isHalf, tape: self)
    projection.project(x.value, into: value)
    if let bias { k_add_bias(value.pointer, bias.value.pointer, rows, outputs) }
    let update = lowRank.map { LowRankUpdate($0, isHalf: isHalf, tape: self) }
    let reduced = update?.add(to: value, x: x.value)

    let zero = Variable(constant: value)
    let (a, b) = (lowRank?.a ?? zero, lowRank?.b ?? zero)
    let output =
      isHalf ? halfResult(value, of: x, weight, bias ?? zero, a, b) : result(value, of: x, weight, bias ?? zero, a, b)
    guard output.needsGradient else { return output }
    // Only a trained weight's derivative reads x again, and the low-rank term's A.
    let keptInput = weight.needsGradient || lowRank?.a.needsGradient == true ? keep(x) : nil
    let (inputSlot, weightSlot, biasSlot) = (x.slot, weight.slot, bias?.slot)
    record(output) { [self] gradient in
      let x = keptInput?.value(in: pool)
      if let weightSlot, let x {
        let target = weightSlot.accumulator(in: pool)
        switch layout {
        case .outputByInput:
          multiply(
            Matrix(gradient, transposed: true), Matrix(x), into: Matrix(target), m: outputs, n: inputs, k: rows,
            adds: true)
        case .inputByOutput:
          multiply(
            Matrix(x, transposed: true), Matrix(gradient), into: Matrix(target), m: inputs, n: outputs, k: rows,
            adds: true)
        }
      }
      if let biasSlot {
        let target = biasSlot.accumulator(in: pool)
        k_column_sums(gradient.pointer, target.pointer, rows, outputs)
      }
      var inputGradient: Tensor?
      if inputSlot != nil {
        let target = allocate([rows, inputs])
        projection.projectBack(gradient, into: target)
        inputGradient = target
      }
      if let update, let reduced {
        update.backward(reduced: reduced, x: x, gradient: gradient, inputGradient: inputGradient)
      }
      if let inputGradient { inputSlot?.add(inputGradient, in: pool) }
    }
    return output
  }
}
