import CKernels

/// A constant weight `[n, k]` as panels of 32 of its rows, transposed: the right operand of products with few rows, read
/// from end to end in the order in which it lies in memory.
///
/// Safety: the panels are never written after `init`.
public final class PanelMatrix: Sendable {
  public let n: Int
  public let k: Int
  /// `[ceil(n / 32), k, 32]`
  private let panels: Tensor

  public init(_ weight: Tensor, in pool: BufferPool) {
    (n, k) = (weight.rows, weight.width)
    let panels = Tensor([(n + 31) / 32, k, 32], in: pool)
    k_pack_panels(weight.pointer, k, panels.pointer, n, k)
    self.panels = panels
  }

  /// `y [m, n] = x [m, k] Wᵀ`. An entry does not depend on the other rows of x.
  public func multiply(_ x: Tensor, into y: Tensor) {
    precondition(
      x.width == k && y.width == n && x.rows == y.rows, "panels [\(n), \(k)] with x \(x.shape), y \(y.shape)")
    k_panel_product(x.pointer, k, panels.pointer, y.pointer, n, x.rows, n, k, 1, 0)
  }
}
