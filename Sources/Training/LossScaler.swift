/// Dynamic loss scaling: the largest factor on the loss that keeps fp16 gradients finite, found by trying.
///
/// The loss is multiplied by `scale` before the backward pass and gradients divided by it before clipping. A step
/// with a gradient that is not finite, in any leaf on any rank, changes no parameter and does not advance the
/// schedule.
///
/// Sources: Micikevicius et al. 2018, section 3.2; `torch.amp.GradScaler`.
public struct LossScaler: Sendable, Equatable {
  public private(set) var scale: Float
  /// Clean steps since the scale last changed.
  public private(set) var growthTracker: Int
  public var growthFactor: Double
  public var backoffFactor: Double
  /// Clean steps after which the scale grows.
  public var growthInterval: Int
  /// The scale never falls below this; 0, as in the reference, for no limit.
  public var minimum: Float

  public init(
    scale: Float = 65_536, growthFactor: Double = 2, backoffFactor: Double = 0.5, growthInterval: Int = 2_000,
    growthTracker: Int = 0, minimum: Float = 0
  ) {
    precondition(
      scale > 0 && scale >= minimum && growthFactor > 1 && backoffFactor < 1 && growthInterval > 0, "loss scaler")
    self.scale = scale
    self.growthTracker = growthTracker
    self.growthFactor = growthFactor
    self.backoffFactor = backoffFactor
    self.growthInterval = growthInterval
    self.minimum = minimum
  }

  /// Whether shrinking is over: what is not finite at this scale is not so because of it.
  public var isAtMinimum: Bool { scale <= minimum }

  /// What the step's reduced flag means for the next one: shrink at once, or grow after `growthInterval` clean
  /// steps unless that overflows fp32.
  public mutating func update(foundNonFinite: Bool) {
    if foundNonFinite {
      scale = max(minimum, Float(Double(scale) * backoffFactor))
      growthTracker = 0
      return
    }
    growthTracker += 1
    guard growthTracker >= growthInterval else { return }
    let grown = Float(Double(scale) * growthFactor)
    if grown.isFinite { scale = grown }
    growthTracker = 0
  }
}
