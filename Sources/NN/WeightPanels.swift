import Autograd
import Synchronization
import TensorCore

/// Frozen projections packed in panels for decoding steps, which multiply few rows with the same weights over and over.
///
/// A weight is packed the first time a step wants it, by whichever worker comes first, and kept: the memory of every
/// projection of a decoder once more, shared by the workers of a rank. The products are those of plain weights, bit for bit,
/// where both are made by the kernels for few rows.
public final class WeightPanels: Sendable {
  private let pool = BufferPool()
  private let made = Mutex<[ObjectIdentifier: PanelMatrix]>([:])

  public init() {}

  /// The panels of a weight that nobody trains.
  public func matrix(_ weight: Parameter, _ layout: WeightLayout) -> PanelMatrix {
    made.withLock { made in
      if let matrix = made[ObjectIdentifier(weight)] { return matrix }
      let matrix = PanelMatrix(layout == .outputByInput ? weight.value : Self.transposed(weight.value, pool), in: pool)
      made[ObjectIdentifier(weight)] = matrix
      return matrix
    }
  }

  private static func transposed(_ x: Tensor, _ pool: BufferPool) -> Tensor {
    let result = Tensor([x.width, x.rows], in: pool)
    for row in 0..<x.rows {
      for column in 0..<x.width { result.pointer[column * x.rows + row] = x.pointer[row * x.width + column] }
    }
    return result
  }
}
