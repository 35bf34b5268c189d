import Autograd
import CKernels
import TensorCore

extension Precision {
  /// Whether this machine has products of its own for this precision; otherwise it saves memory and runs at fp32's speed.
  public var isNative: Bool {
    switch self {
    case .fp32: true
    case .bf16: MatrixBackend.active == .oneDNN || kernels_selected() == KERNEL_SET_AVX512_BF16
    case .fp16: false
    }
  }

  /// What a run in this precision should know about this machine; nil where the precision is native.
  public var note: String? {
    switch self {
    case _ where isNative: nil
    case .fp32: nil
    case .bf16:
      "bf16 is emulated (\(Self.reasonForEmulation)): the same bits as with bfloat16 dot products, weights in half the memory, "
        + "products at the speed of fp32"
    case .fp16: "fp16 has no products of its own: weights and activations take half the memory, products run in fp32"
    }
  }

  private static var reasonForEmulation: String {
    kernels_best() == KERNEL_SET_AVX512_BF16
      ? "the kernels in use, \(String(cString: kernels_name(kernels_selected()))), have no bfloat16 dot products"
      : "this CPU has no bfloat16 dot products"
  }
}
