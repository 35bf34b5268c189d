import CKernels

/// A constant weight `[outputs, inputs]` in panels of 16 outputs, the form in which both directions, training and decoding
/// read it: `[ceil(outputs / 16)][inputs][16]`, fp32 or 16 bits a number.
///
/// Safety of `@unchecked Sendable`: the panels are never written after `init`.
public final class PanelMatrix: @unchecked Sendable {
  public let outputs: Int
  public let inputs: Int
  public let format: weight_format
  private let panels: UnsafeRawPointer
  /// Keeps the memory, own or mapped, alive.
  private let owner: AnyObject

  /// Over panels that `owner` keeps, aligned to 64.
  public init(
    panels: UnsafeRawPointer, outputs: Int, inputs: Int, format: weight_format, owner: AnyObject
  ) {
    (self.panels, self.outputs, self.inputs, self.format, self.owner) = (panels, outputs, inputs, format, owner)
  }

  /// `weight` packed into memory of the pool.
  ///
  /// - Parameter isInputByOutput: whether it lies as `[inputs, outputs]`.
  public convenience init(
    _ weight: Tensor, isInputByOutput: Bool = false, format: weight_format = WEIGHT_FP32, in pool: BufferPool
  ) {
    let (outputs, inputs) = isInputByOutput ? (weight.width, weight.rows) : (weight.rows, weight.width)
    let memory = Tensor([Self.byteCount(outputs: outputs, inputs: inputs, format: format) / 4 + 16], in: pool)
    let start = UnsafeMutableRawPointer(memory.pointer).alignedUp(toMultipleOf: 64)
    Self.pack(weight, isInputByOutput: isInputByOutput, format: format, into: start)
    self.init(panels: start, outputs: outputs, inputs: inputs, format: format, owner: memory.storage)
  }

  /// Bytes of the panels, a multiple of 32.
  public static func byteCount(outputs: Int, inputs: Int, format: weight_format) -> Int {
    (outputs + 15) / 16 * 16 * inputs * (format == WEIGHT_FP32 ? 4 : 2)
  }

  /// Writes the panels of `weight`, rounded to nearest in the 16-bit formats.
  public static func pack(
    _ weight: Tensor, isInputByOutput: Bool, format: weight_format, into target: UnsafeMutableRawPointer
  ) {
    let (rows, width) = (weight.rows, weight.width)
    if isInputByOutput {
      k_pack_weight(format, weight.pointer, 1, width, target, width, rows)
    } else {
      k_pack_weight(format, weight.pointer, width, 1, target, rows, width)
    }
  }

  /// `y [m, outputs] = x [m, inputs] Wᵀ`: the bits of `TensorCore.multiply` with the numbers stored, operands rounded to
  /// bfloat16 if those are.
  public func multiply(_ x: Tensor, into y: Tensor) {
    precondition(
      x.width == inputs && y.width == outputs && x.rows == y.rows,
      "panels [\(outputs), \(inputs)] with x \(x.shape), y \(y.shape)")
    k_weight_product(format, x.pointer, inputs, panels, y.pointer, outputs, x.rows, outputs, inputs)
  }

  /// `dx [m, inputs] = dy [m, outputs] W`, as `multiply`.
  public func multiplyBack(_ dy: Tensor, into dx: Tensor) {
    precondition(
      dy.width == outputs && dx.width == inputs && dx.rows == dy.rows,
      "panels [\(outputs), \(inputs)] with dy \(dy.shape), dx \(dx.shape)")
    k_weight_product_back(format, dy.pointer, outputs, panels, dx.pointer, inputs, dy.rows, outputs, inputs)
  }
}
