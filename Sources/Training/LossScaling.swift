import Autograd

/// What the loss is multiplied by before the backward pass, so that gradients in half precision neither vanish nor
/// overflow.
///
/// Gradients are divided by the same number when the exact sum is read. With a power of two the result has the bits of
/// a run without scaling wherever neither overflows nor underflows.
///
/// Names and defaults: `torch.amp.GradScaler`, the `fp16` section of a DeepSpeed configuration.
public enum LossScaling: Sendable, Equatable {
  /// The same factor in every step, at least 1.
  case constant(Float)
  /// Found by trying, see `LossScaler`: doubled after `window` clean steps in a row, halved at an overflow.
  case dynamic(initial: Float, window: Int)

  /// The loss as it is.
  public static let unscaled = LossScaling.constant(1)
  public static let defaultInitial: Float = 65_536
  public static let defaultWindow = 2_000
  /// A step that is not finite at this scale is not so because of the scale.
  public static let floor: Float = 1

  /// The choice in words: `dynamic`, `none`, or a number from 1 to the largest float; nil for anything else.
  public init?(named name: String, initial: Float? = nil, window: Int? = nil) {
    switch name {
    case "dynamic":
      self = .dynamic(initial: initial ?? Self.defaultInitial, window: window ?? Self.defaultWindow)
    case "none": self = .unscaled
    default:
      guard let scale = Float(name), scale.isFinite, scale >= Self.floor else { return nil }
      self = .constant(scale)
    }
  }

  /// What a precision needs if the user chooses nothing.
  public static func defaultName(precision: Precision) -> String { precision == .fp16 ? "dynamic" : "none" }

  /// The scaler of a new run; nil where the scale never changes.
  var scaler: LossScaler? {
    guard case .dynamic(let initial, let window) = self else { return nil }
    return LossScaler(scale: initial, growthInterval: window, minimum: Self.floor)
  }
}
