import CKernels
import TensorCore

/// Remembers where a forward pass first left the finite numbers: at the input or output of which projection.
public final class OverflowWatch {
  /// Such as `the output of encoder.block.3.layer.0.SelfAttention.o`; nil while everything was finite.
  public private(set) var first: String?

  public init() {}

  func see(_ path: String, input: Tensor, output: Tensor) {
    guard first == nil else { return }
    for (tensor, end) in [(input, "input"), (output, "output")]
    where k_all_finite(tensor.pointer, tensor.count) == 0 {
      first = "the \(end) of \(path)"
      return
    }
  }
}
