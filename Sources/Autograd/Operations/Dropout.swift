import CKernels
import TensorCore

/// One dropout mask over packed rows: a pure function of (key, example, position, column), never stored.
public struct DropoutMask: Sendable {
  public let rate: Float
  let key: UInt64
  let examples: [UInt32]
  let positions: [UInt32]

  /// - Parameter generator: keyed by seed, step and site.
  public init(rate: Float, generator: CounterGenerator, layout: PackedLayout) {
    self.rate = rate
    key = generator.key
    (examples, positions) = layout.rowKeys
  }

  /// Multiplies the rows of `x [n, width]` by mask / (1 - rate), in place.
  func apply(to x: Tensor) { apply(from: x, to: x) }

  func apply(from x: Tensor, to y: Tensor) {
    precondition(x.rows == examples.count, "dropout: \(x.shape) for \(examples.count) rows")
    k_dropout(x.pointer, y.pointer, examples, positions, x.rows, x.width, x.width, key, rate)
  }

  func applied(to x: Tensor, pool: BufferPool) -> Tensor {
    let y = Tensor(x.shape, in: pool)
    apply(from: x, to: y)
    return y
  }
}

extension Tape {
  /// `y = x * mask / (1 - rate)`; x itself without a mask.
  public func dropout(_ x: Variable, _ mask: DropoutMask?) -> Variable {
    guard let mask else { return x }
    let dropped = mask.applied(to: x.value, pool: pool)
    let output = x.isHalf ? halfResult(dropped, of: x) : result(dropped, of: x)
    let slot = x.slot
    record(output) { [self] gradient in
      slot?.add(mask.applied(to: gradient, pool: pool), in: pool)
    }
    return output
  }

  /// `y = x + drop(branch)`: the residual addition of a sub-layer, in fp32 on every tape.
  public func residual(_ x: Variable, adding branch: Variable, _ mask: DropoutMask? = nil) -> Variable {
    precondition(x.shape == branch.shape, "residual: \(x.shape) + \(branch.shape)")
    let value = allocate(x.shape)
    let term = mask.map { $0.applied(to: branch.value, pool: pool) } ?? branch.value
    k_add(x.value.pointer, term.pointer, value.pointer, value.count)
    let output = result(value, of: x, branch)
    let (inputSlot, branchSlot) = (x.slot, branch.slot)
    record(output) { [self] gradient in
      if let branchSlot {
        branchSlot.add(mask.map { $0.applied(to: gradient, pool: pool) } ?? gradient, in: pool)
      }
      inputSlot?.add(gradient, in: pool)
    }
    return output
  }
}
