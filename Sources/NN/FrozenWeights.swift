import Autograd

/// The frozen projections of a model in the precision that a run multiplies them in.
public enum FrozenWeights: Sendable {
  /// As the checkpoint has them.
  case fp32
  case bf16(PackedWeights)
  case fp16(HalfWeights)

  public var precision: Precision {
    switch self {
    case .fp32: .fp32
    case .bf16: .bf16
    case .fp16: .fp16
    }
  }

  /// A projection's weight in that precision; nil if it is multiplied in fp32.
  func projection(_ weight: Parameter) -> FrozenProjection? {
    switch self {
    case .fp32: nil
    case .bf16(let packed): packed.projection(weight).map { .packed($0) }
    case .fp16(let half): half.matrix(weight).map { .half($0) }
    }
  }
}
