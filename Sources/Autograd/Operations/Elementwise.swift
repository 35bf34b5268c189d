import CKernels
import TensorCore

public typealias Activation = activation_kind

extension Tape {
  /// `y = f(x)`.
  public func activation(_ kind: Activation, _ x: Variable) -> Variable {
    if kind == ACTIVATION_RELU { return relu(x) }
    let value = allocate(x.shape)
    k_activation(kind, x.value.pointer, value.pointer, value.count)
    let output = x.isHalf ? halfResult(value, of: x) : result(value, of: x)
    guard output.needsGradient else { return output }
    let (kept, slot) = (keep(x), x.slot)
    record(output) { [self] gradient in
      let target = allocate(gradient.shape)
      let x = kept.value(in: pool)
      k_activation_backward(kind, gradient.pointer, x.pointer, target.pointer, target.count)
      slot?.add(target, in: pool)
    }
    return output
  }

  /// `y = max(x, 0)`. The derivative reads one bit an entry; neither x nor y is kept for it.
  private func relu(_ x: Variable) -> Variable {
    let value = allocate(x.shape)
    let positive = allocate([(value.count + 31) / 32])
    positive.withBits { k_relu_signs(x.value.pointer, value.pointer, $0, value.count) }
    let isHalf = x.isHalf
    let output = isHalf ? halfResult(value, of: x, isRounded: true) : result(value, of: x)
    let slot = x.slot
    record(output) { [self] gradient in
      let target = allocate(gradient.shape)
      positive.withBits { k_relu_signs_backward(gradient.pointer, $0, target.pointer, target.count) }
      slot?.add(target, in: pool, isHalf: isHalf)
    }
    return output
  }

  /// `y = f(gate) * x` (gated linear units, Shazeer 2020).
  public func gated(_ kind: Activation, gate: Variable, _ x: Variable) -> Variable {
    precondition(gate.shape == x.shape, "gated activation: \(gate.shape) and \(x.shape)")
    let value = allocate(x.shape)
    k_gated(kind, gate.value.pointer, x.value.pointer, value.pointer, value.count)
    let output = gate.isHalf && x.isHalf ? halfResult(value, of: gate, x) : result(value, of: gate, x)
    guard output.needsGradient else { return output }
    let (keptGate, keptInput, gateSlot, inputSlot) = (keep(gate), keep(x), gate.slot, x.slot)
    record(output) { [self] gradient in
      let (gateGradient, inputGradient) = (allocate(gradient.shape), allocate(gradient.shape))
      let (gate, x) = (keptGate.value(in: pool), keptInput.value(in: pool))
      k_gated_backward(
        kind, gradient.pointer, gate.pointer, x.pointer, gateGradient.pointer, inputGradient.pointer, gradient.count)
      gateSlot?.add(gateGradient, in: pool)
      inputSlot?.add(inputGradient, in: pool)
    }
    return output
  }

  /// `y = factor * x`.
  public func scaled(_ x: Variable, by factor: Float) -> Variable {
    guard factor != 1 else { return x }
    let value = allocate(x.shape)
    value.copyElements(from: x.value)
    k_scale(value.pointer, factor, value.count)
    let output = result(value, of: x)
    let slot = x.slot
    record(output) { [self] gradient in
      let target = allocate(gradient.shape)
      target.copyElements(from: gradient)
      k_scale(target.pointer, factor, target.count)
      slot?.add(target, in: pool)
    }
    return output
  }
}
