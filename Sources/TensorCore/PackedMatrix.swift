import COneDNN
import CKernels
import Diagnostics
import Foundation

/// A constant right operand `[k, n]` of products in bfloat16, in oneDNN's blocked layout.
///
/// Safety of `@unchecked Sendable`: the packed bytes are never written after `init`, and oneDNN reads them from any thread.
public final class PackedMatrix: @unchecked Sendable {
  public let k: Int
  public let n: Int
  private let handle: OpaquePointer
  /// Keeps the packed bytes, own or mapped, alive.
  private let owner: AnyObject

  /// Bytes of the packed form; 0 where oneDNN has no such product.
  public static func byteCount(k: Int, n: Int) -> Int { onednn_packed_bytes(Int32(k), Int32(n)) }

  /// Over packed bytes that `owner` keeps, aligned to 64.
  ///
  /// Throws: `PackingError` if oneDNN refuses.
  public init(packed: UnsafeRawPointer, k: Int, n: Int, owner: AnyObject) throws {
    guard let handle = onednn_open(packed, Int32(k), Int32(n)) else { throw PackingError.refused(k: k, n: n) }
    self.handle = handle
    self.k = k
    self.n = n
    self.owner = owner
  }

  deinit { onednn_release(handle) }

  /// Packs `weight` into `target`: `[n, k]` if transposed (a Linear's forward product), otherwise `[k, n]`.
  public static func pack(_ weight: Tensor, transposed: Bool, k: Int, n: Int, into target: UnsafeMutableRawPointer)
    throws
  {
    guard onednn_pack(weight.pointer, transposed ? 1 : 0, Int32(k), Int32(n), target) == 0 else {
      throw PackingError.refused(k: k, n: n)
    }
  }

  /// `y [rows, n] = x [rows, k] W`, x as bfloat16 bits, sums and result in fp32.
  public func multiply(_ x: UnsafePointer<UInt16>, rows: Int, into y: UnsafeMutablePointer<Float>) {
    guard rows > 0 else { return }
    let status = onednn_multiply_packed(x, handle, y, Int32(rows))
    precondition(status == 0, "oneDNN refused a bfloat16 product [\(rows), \(k)] x [\(k), \(n)]")
  }

  /// Whether this CPU multiplies bfloat16 at speed.
  public static var isFast: Bool { onednn_has_bf16() != 0 }
}

public enum PackingError: DescribedError {
  case refused(k: Int, n: Int)
  case unusableCache(path: String, reason: String)
  case beyondFP16(weight: String, largest: Float)

  public var description: String {
    switch self {
    case .refused(let k, let n): "oneDNN cannot pack a [\(k), \(n)] weight for bfloat16; use --precision fp32"
    case .unusableCache(let path, let reason):
      "cannot use the cached weights \(path): \(reason); remove the file, or name another --cache-dir"
    case .beyondFP16(let weight, let largest):
      "the weight \(weight) has an entry of magnitude \(largest), but fp16 ends at \(Int(HalfMatrix.largest)); use --precision "
        + "bf16 or fp32"
    }
  }
}
