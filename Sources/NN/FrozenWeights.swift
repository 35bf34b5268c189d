import Autograd
import CKernels
import Foundation
import TensorCore

/// The frozen projections of a model in the precision that a run multiplies them in.
public enum FrozenWeights: Sendable {
  /// In fp32, as the checkpoint has them.
  case plain
  /// In fp32, bfloat16 or fp16, for the project's own products.
  case panels(PanelWeights)
  /// For oneDNN's bfloat16 products.
  case packed(PackedWeights)

  /// The projections of `linears` in `precision`, in the form that the products in use read.
  ///
  /// - Parameters:
  ///   - identity: digest of the checkpoint.
  ///   - directory: the cache folder.
  ///   - isShared: whether several ranks of this node read them. Those map one file; what is in fp32 and read by one process
  ///     alone is packed in its memory.
  ///   - isChecked: whether another rank of this node has compared what is there with its digest.
  /// - Throws: `PackingError`.
  public init(
    _ linears: [Linear], _ precision: Precision, identity: @autoclosure () throws -> String, directory: URL,
    isShared: Bool, isChecked: Bool = false
  ) throws {
    switch (MatrixBackend.active, precision) {
    case (.oneDNN, .bf16):
      self = .packed(try PackedWeights(linears, identity: identity(), directory: directory, isChecked: isChecked))
    case (.oneDNN, .fp32), (.openBLAS, .fp32): self = .plain
    case _ where isShared || precision != .fp32:
      self = .panels(
        try PanelWeights(
          linears, precision: precision, identity: identity(), directory: directory, isChecked: isChecked))
    default: self = .panels(try PanelWeights(linears, precision: precision))
    }
  }

  public var precision: Precision {
    switch self {
    case .plain: .fp32
    case .packed: .bf16
    case .panels(let panels): panels.precision
    }
  }

  /// How most panels store their numbers; nil where there are none.
  public var panelFormat: weight_format? {
    guard case .panels(let panels) = self else { return nil }
    return [.fp32: WEIGHT_FP32, .bf16: WEIGHT_BF16, .fp16: WEIGHT_FP16][panels.precision]
  }

  /// A projection's weight in that form; nil if it is read as the checkpoint has it.
  func projection(_ weight: Parameter) -> FrozenProjection? {
    switch self {
    case .plain: nil
    case .packed(let packed): packed.projection(weight).map { .packed($0) }
    case .panels(let panels): panels.matrix(weight).map { .panels($0) }
    }
  }
}
