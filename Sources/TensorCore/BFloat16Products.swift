import CKernels
import COneDNN
import Synchronization

/// How frozen projections are multiplied in bfloat16 on this machine.
///
/// Chosen once per process, before the first product; the ranks of a job choose alike.
public enum BFloat16Products: String, Sendable {
  /// By the CPU's dot products of bfloat16 pairs, in oneDNN, from weights packed for it.
  case native
  /// In fp32, from weights stored as bfloat16 and widened for each product: half the memory at fp32's speed. The same
  /// numbers enter the sums as with `native`; only the order of the sums differs.
  case widened

  /// What this process can do: `native` needs kernels with bfloat16 dot products in use, and a oneDNN that has them too.
  public static var available: BFloat16Products {
    kernels_selected() == KERNEL_SET_AVX512_BF16 && onednn_has_bf16() != 0 ? .native : .widened
  }

  private static let chosen = Mutex<BFloat16Products?>(nil)

  /// What this process does; what is available unless `use` said otherwise.
  public static var current: BFloat16Products {
    chosen.withLock { chosen in
      let current = chosen ?? available
      chosen = current
      return current
    }
  }

  /// Makes every later product one of this kind, for a job whose ranks have agreed on it.
  public func use() { Self.chosen.withLock { $0 = self } }

  /// Library and instructions that decide the bits, for the names of caches and a run's numeric identity.
  public var identity: String {
    switch self {
    case .native: "onednn-\(MatrixBackend.oneDNNVersion ?? "none")-avx512-bf16"
    case .widened: "bf16-widened"
    }
  }
}
