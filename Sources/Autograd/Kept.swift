import CKernels
import TensorCore

/// The fp16 bits of a value whose numbers are fp16 ones, made once for all derivatives that will read it.
///
/// Safety: belongs to the one thread of its tape.
final class HalfCopy {
  private var bits: Tensor?

  func bits(of value: Tensor, in pool: BufferPool) -> Tensor {
    if let bits { return bits }
    let made = Tensor([(value.count + 1) / 2], in: pool)
    made.withBits { k_float_to_fp16(value.pointer, $0, value.count) }
    bits = made
    return made
  }
}

/// A value kept for the backward pass: as it is, or in 16 bits where that loses nothing.
struct Kept {
  private enum Form {
    case full(Tensor)
    case half(bits: Tensor, shape: [Int])
    case bfloat16(bits: Tensor, shape: [Int])
  }

  private let form: Form

  init(_ value: Tensor) { form = .full(value) }

  init(_ variable: Variable, in pool: BufferPool) {
    if let half = variable.half {
      form = .half(bits: half.bits(of: variable.value, in: pool), shape: variable.shape)
    } else {
      form = .full(variable.value)
    }
  }

  /// For a derivative that rounds the value to bfloat16 anyway.
  init(bfloat16 value: Tensor, in pool: BufferPool) {
    let bits = Tensor([(value.count + 1) / 2], in: pool)
    bits.withBits { k_float_to_bf16(value.pointer, $0, value.count) }
    form = .bfloat16(bits: bits, shape: value.shape)
  }

  /// The value; a copy of it if it was kept in 16 bits.
  func value(in pool: BufferPool) -> Tensor {
    switch form {
    case .full(let value): return value
    case .half(let bits, let shape):
      let value = Tensor(shape, in: pool)
      bits.withBits { k_fp16_to_float($0, value.pointer, value.count) }
      return value
    case .bfloat16(let bits, let shape):
      let value = Tensor(shape, in: pool)
      bits.withBits { k_bf16_to_float($0, value.pointer, value.count) }
      return value
    }
  }
}

extension Tape {
  /// `x` for a derivative to read again.
  func keep(_ x: Variable) -> Kept { Kept(x, in: pool) }

  /// `x` as an operand: rounded to fp16 where the tape computes so and `x` holds other numbers. Its gradient is x's own.
  func operand(_ x: Variable) -> Variable {
    guard precision == .fp16, !x.isHalf else { return x }
    return Variable(value: rounded(x.value), slot: x.slot, half: HalfCopy())
  }

  /// The result of an operation with these inputs. On an fp16 tape it is rounded in place, unless it `isRounded` already.
  func halfResult(_ value: Tensor, of inputs: Variable..., isRounded: Bool = false) -> Variable {
    if precision == .fp16, !isRounded { k_round_fp16(value.pointer, value.pointer, value.count) }
    return Variable(
      value: value, slot: inputs.contains { $0.needsGradient } ? GradientSlot(shape: value.shape) : nil,
      half: precision == .fp16 ? HalfCopy() : nil)
  }

  /// A copy of `x`, rounded to fp16.
  func rounded(_ x: Tensor) -> Tensor {
    let value = allocate(x.shape)
    k_round_fp16(x.pointer, value.pointer, x.count)
    return value
  }
}
