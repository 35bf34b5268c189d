import CKernels
import TensorCore

/// Where the gradient of one value is gathered during the backward pass.
public final class GradientSlot {
  let shape: [Int]
  private(set) var gradient: Tensor?
  /// Whether the gradient's numbers are fp16 ones as they are.
  private var isHalf = false

  init(shape: [Int]) { self.shape = shape }

  /// Hands the finished gradient over and forgets it; nil if nothing flowed here.
  func take() -> Tensor? {
    defer { gradient = nil }
    return gradient
  }

  /// The same, rounded to fp16.
  func takeRounded(in pool: BufferPool) -> Tensor? {
    guard var finished = take() else { return nil }
    if isHalf { return finished }
    let target = finished.isUniquelyReferenced() ? finished : Tensor(shape, in: pool)
    k_round_fp16(finished.pointer, target.pointer, target.count)
    return target
  }

  /// Adds `contribution`. The first one is kept as it is, without a copy.
  ///
  /// - Parameter isHalf: whether its numbers are known to be fp16 ones.
  func add(_ contribution: Tensor, in pool: BufferPool, isHalf: Bool = false) {
    precondition(contribution.count == shape.reduce(1, *), "gradient \(contribution.shape) for a value \(shape)")
    guard gradient != nil else {
      gradient = contribution.reshaped(shape)
      self.isHalf = isHalf
      return
    }
    self.isHalf = false
    let target = writable(in: pool)
    k_accumulate(target.pointer, contribution.pointer, 1, target.count)
  }

  /// The gradient as a buffer of its own, zero if nothing flowed here yet: for operations that add into it in place.
  func accumulator(in pool: BufferPool) -> Tensor {
    isHalf = false
    if gradient == nil {
      let zeros = Tensor(shape, in: pool)
      zeros.fill(0)
      gradient = zeros
      return zeros
    }
    return writable(in: pool)
  }

  /// The gradient if nobody else holds its storage, otherwise a copy that takes its place.
  private func writable(in pool: BufferPool) -> Tensor {
    if gradient?.isUniquelyReferenced() == false, let shared = gradient {
      let copy = Tensor(shape, in: pool)
      copy.copyElements(from: shared)
      gradient = copy
    }
    guard let gradient else { preconditionFailure("a slot without a gradient has nothing to write to") }
    return gradient
  }
}

/// A value in a computation: a tensor and, if somebody wants its gradient, the place where that gathers.
public struct Variable {
  public let value: Tensor
  let slot: GradientSlot?
  /// On an fp16 tape, where all numbers of the value are fp16 ones: their bits, once somebody keeps them.
  let half: HalfCopy?

  /// A value nobody differentiates: a frozen weight, an input.
  public init(constant value: Tensor) {
    self.init(value: value, slot: nil)
  }

  init(value: Tensor, slot: GradientSlot?, half: HalfCopy? = nil) {
    self.value = value
    self.slot = slot
    self.half = half
  }

  /// Whether value and gradient are rounded to fp16.
  var isHalf: Bool { half != nil }

  public var shape: [Int] { value.shape }
  public var needsGradient: Bool { slot != nil }
  /// After `Tape.backward()`: the gradient of a leaf variable, nil if nothing flowed to it.
  public var gradient: Tensor? { slot?.gradient }
}

/// Records operations and runs their derivatives in reverse.
///
/// An operation whose inputs need no gradient records nothing and keeps nothing: a frozen weight's gradient is never
/// computed, and an activation is kept only if a derivative will read it. One tape belongs to one thread.
public final class Tape {
  public let pool: BufferPool
  /// False while only values are wanted: then no variable needs a gradient.
  public let recordsGradients: Bool
  public let precision: Precision
  private var steps: [() -> Void] = []
  /// The last operand converted to bfloat16, as bits: several projections in a row read the same one.
  private var converted: (source: Tensor, result: Tensor)?

  public init(pool: BufferPool, recordsGradients: Bool = true, precision: Precision = .fp32) {
    self.pool = pool
    self.precision = precision
    self.recordsGradients = recordsGradients
  }

  /// A leaf variable whose gradient is wanted, such as a trainable tensor.
  public func variable(_ value: Tensor) -> Variable {
    Variable(value: value, slot: recordsGradients ? GradientSlot(shape: value.shape) : nil)
  }

  func allocate(_ shape: [Int]) -> Tensor { Tensor(shape, in: pool) }

  /// The result of an operation with these inputs: differentiable if any of them is.
  func result(_ value: Tensor, of inputs: Variable...) -> Variable {
    Variable(value: value, slot: inputs.contains { $0.needsGradient } ? GradientSlot(shape: value.shape) : nil)
  }

  /// Records the derivative of the operation that made `output`; it gets the gradient of the output, and is left out if
  /// none arrived. The gradient of an fp16 value is rounded to fp16 here, when all of its parts have been added.
  func record(_ output: Variable, _ derivative: @escaping (_ outputGradient: Tensor) -> Void) {
    guard let slot = output.slot else { return }
    let isHalf = output.isHalf
    steps.append { [pool] in
      if let gradient = isHalf ? slot.takeRounded(in: pool) : slot.take() { derivative(gradient) }
    }
  }

  /// Runs the derivatives of everything recorded, last first, from the gradients already seeded (by a loss operation or
  /// `seed`). Each is released as soon as it has run, and with it the activations it kept.
  public func backward() {
    while let step = steps.popLast() { step() }
    converted = nil
  }

  /// `x` as bfloat16 bits, in the memory of a tensor of half as many elements.
  func bfloat16(_ x: Tensor, isReadAgain: Bool = true) -> Tensor {
    if let converted, converted.source.pointer == x.pointer, converted.source.count == x.count {
      return converted.result
    }
    let result = allocate([(x.count + 1) / 2])
    result.withBits { k_float_to_bf16(x.pointer, $0, x.count) }
    if isReadAgain { converted = (x, result) }
    return result
  }

  /// Adds `gradient` to the gradient of `output` from outside, before `backward()`.
  public func seed(_ output: Variable, gradient: Tensor) {
    output.slot?.add(gradient, in: pool)
  }
}
