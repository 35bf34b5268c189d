import CKernels
import TensorCore

extension Tape {
  /// T5's layer norm: `y = x / sqrt(mean(x²) + epsilon) * weight` (RMS norm, Zhang & Sennrich 2019).
  ///
  /// Shapes: x, y `[n, D]`, weight `[D]`. Computed in fp32; on an fp16 tape y is rounded, as projections read it.
  public func rmsNorm(_ x: Variable, weight: Variable, epsilon: Float) -> Variable {
    let (rows, width) = (x.value.rows, x.value.width)
    precondition(weight.shape == [width], "rms norm: x \(x.shape), weight \(weight.shape)")
    let value = allocate(x.shape)
    let inverse = allocate([rows])
    k_rms_norm(x.value.pointer, weight.value.pointer, value.pointer, inverse.pointer, rows, width, epsilon)
    let output = halfResult(value, of: x, weight)
    guard output.needsGradient else { return output }
    let (kept, slot) = (keep(x), x.slot)
    record(output) { [self] gradient in
      let weightGradient = weight.slot?.accumulator(in: pool)
      let inputGradient = slot?.accumulator(in: pool)
      let x = kept.value(in: pool)
      k_rms_norm_backward(
        gradient.pointer, x.pointer, weight.value.pointer, inverse.pointer, inputGradient?.pointer, 1,
        weightGradient?.pointer, rows, width)
    }
    return output
  }

  /// Layer norm: `y = (x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias`, with the biased variance (Ba, Kiros & Hinton
  /// 2016).
  ///
  /// Shapes: x, y `[n, D]`, weight and bias `[D]`. Computed in fp32; on an fp16 tape y is rounded, as projections read it.
  public func layerNorm(_ x: Variable, weight: Variable, bias: Variable, epsilon: Float) -> Variable {
    let (rows, width) = (x.value.rows, x.value.width)
    precondition(
      weight.shape == [width] && bias.shape == [width],
      "layer norm: x \(x.shape), weight \(weight.shape), bias \(bias.shape)")
    let value = allocate(x.shape)
    let (mean, inverse) = (allocate([rows]), allocate([rows]))
    k_layer_norm(
      x.value.pointer, weight.value.pointer, bias.value.pointer, value.pointer, mean.pointer, inverse.pointer, rows,
      width, epsilon)
    let output = halfResult(value, of: x, weight, bias)
    guard output.needsGradient else { return output }
    let (kept, slot) = (keep(x), x.slot)
    record(output) { [self] gradient in
      let (weightGradient, biasGradient) = (weight.slot?.accumulator(in: pool), bias.slot?.accumulator(in: pool))
      let inputGradient = slot?.accumulator(in: pool)
      let x = kept.value(in: pool)
      k_layer_norm_backward(
        gradient.pointer, x.pointer, weight.value.pointer, mean.pointer, inverse.pointer, inputGradient?.pointer, 1,
        weightGradient?.pointer, biasGradient?.pointer, rows, width)
    }
    return output
  }
}
