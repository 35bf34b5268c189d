import CKernels

/// A 16-bit floating-point format that constant weights are stored in.
public enum HalfFormat: Sendable {
  case fp16
  case bf16

  /// The largest number of the format: what is larger cannot be stored.
  public var largest: Float {
    switch self {
    case .fp16: 65_504
    case .bf16: 0x1.fep127
    }
  }

  /// `y = x` rounded to the nearest number of the format, in fp32, `count` entries; y may be x.
  public func round(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int) {
    switch self {
    case .fp16: k_round_fp16(x, y, count)
    case .bf16: k_round_bf16(x, y, count)
    }
  }
}
