import Autograd
import Foundation
import TensorCore

/// The frozen projections of a model in the precision that a run multiplies them in.
public enum FrozenWeights: Sendable {
  /// As the checkpoint has them.
  case fp32
  /// For native bfloat16 products.
  case packed(PackedWeights)
  /// In fp16, or in bfloat16 where its products are those of fp32.
  case half(HalfWeights)

  /// The projections of `linears` in `precision`, in the way this machine multiplies them.
  ///
  /// - Parameters:
  ///   - identity: digest of the checkpoint.
  ///   - directory: the cache folder.
  ///   - isChecked: whether another rank of this node has compared what is there with its digest.
  /// - Throws: `PackingError`.
  public init(
    _ linears: [Linear], _ precision: Precision, identity: @autoclosure () throws -> String, directory: URL,
    isChecked: Bool = false
  ) throws {
    switch (precision, BFloat16Products.current) {
    case (.fp32, _): self = .fp32
    case (.bf16, .native):
      self = .packed(try PackedWeights(linears, identity: identity(), directory: directory, isChecked: isChecked))
    case (.bf16, .widened):
      self = .half(
        try HalfWeights(linears, format: .bf16, identity: identity(), directory: directory, isChecked: isChecked))
    case (.fp16, _):
      self = .half(
        try HalfWeights(linears, format: .fp16, identity: identity(), directory: directory, isChecked: isChecked))
    }
  }

  public var precision: Precision {
    switch self {
    case .fp32: .fp32
    case .packed: .bf16
    case .half(let weights): weights.format == .fp16 ? .fp16 : .bf16
    }
  }

  /// A projection's weight in that precision; nil if it is multiplied in fp32.
  func projection(_ weight: Parameter) -> FrozenProjection? {
    switch self {
    case .fp32: nil
    case .packed(let packed): packed.projection(weight).map { .packed($0) }
    case .half(let half): half.matrix(weight).map { .half($0) }
    }
  }
}
