import CKernels
import TensorCore

/// Clipping by the global L2 norm of all trainable gradients, after reduction and unscaling.
///
/// Sources: Pascanu, Mikolov & Bengio 2013; `torch.nn.utils.clip_grad_norm_`.
public enum GradientClipping {
  /// sqrt(sum of squares over all entries), in double and in one fixed order, so equal on every rank.
  public static func globalNorm(_ gradients: [Tensor]) -> Double {
    gradients.reduce(0) { $0 + k_sum_squares($1.pointer, $1.count) }.squareRoot()
  }

  /// Multiplies all gradients by min(1, maxNorm / (norm + 1e-6)).
  ///
  /// - Parameter norm: their `globalNorm`, finite: a step with other gradients is skipped, not clipped.
  /// - Returns: that coefficient; 1 means nothing was touched.
  @discardableResult
  public static func clip(_ gradients: [Tensor], maxNorm: Double, norm: Double) -> Double {
    precondition(norm.isFinite && maxNorm > 0, "clipping a norm of \(norm) to \(maxNorm)")
    let coefficient = min(1, maxNorm / (norm + 1e-6))
    if coefficient < 1 {
      for gradient in gradients { k_scale(gradient.pointer, Float(coefficient), gradient.count) }
    }
    return coefficient
  }
}
