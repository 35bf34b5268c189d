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
}
