import COneDNN
import Diagnostics

/// A constant right operand `[k, n]` of products in bfloat16, in oneDNN's blocked layout; for `MatrixBackend.oneDNN`.
///
/// Safety of `@unchecked Sendable`: the packed bytes are never written after `init`, and oneDNN reads them from any thread.
public final class PackedMatrix: @unchecked Sendable {
  public let k: Int
  public let n: Int
  private let handle: OpaquePointer
  /// Keeps the packed bytes, own or mapped, alive.
  private let owner: AnyObject

  /// Bytes of the packed form.
  ///
  /// - Throws: `PackingError.refused` where oneDNN has no such product.
  public static func byteCount(k: Int, n: Int) throws -> Int {
    let bytes = onednn_packed_bytes(Int32(k), Int32(n))
    guard bytes > 0 else { throw PackingError.refused(k: k, n: n) }
    return bytes
  }

  /// Over packed bytes that `owner` keeps, aligned to 64.
  ///
  /// - Throws: `PackingError.refused` if oneDNN has no product of one row or of many with it.
  public init(packed: UnsafeRawPointer, k: Int, n: Int, owner: AnyObject) throws {
    guard let handle = onednn_open(packed, Int32(k), Int32(n)) else { throw PackingError.refused(k: k, n: n) }
    self.handle = handle
    self.k = k
    self.n = n
    self.owner = owner
  }

  /// `weight` packed into memory of its own; `transposed` as in `pack`.
  ///
  /// - Throws: `PackingError.refused`.
  public convenience init(_ weight: Tensor, transposed: Bool, k: Int, n: Int) throws {
    let room = Tensor(zeros: [try Self.byteCount(k: k, n: n) / 4 + 16])
    let start = UnsafeMutableRawPointer(room.pointer).alignedUp(toMultipleOf: 64)
    try Self.pack(weight, transposed: transposed, k: k, n: n, into: start)
    try self.init(packed: start, k: k, n: n, owner: room.storage)
  }

  deinit { onednn_release(handle) }

  /// Packs `weight` into `target`: `[n, k]` if transposed (a Linear's forward product), otherwise `[k, n]`.
  ///
  /// - Throws: `PackingError.refused`.
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
}

public enum PackingError: DescribedError {
  case refused(k: Int, n: Int)
  case unusableCache(path: String, reason: String)
  case beyondRange(weight: String, largest: Float, format: HalfFormat)

  public var description: String {
    switch self {
    case .refused(let k, let n):
      "oneDNN \(MatrixBackend.oneDNNVersion ?? "(not loaded)") has no bfloat16 product with a [\(k), \(n)] weight on this "
        + "CPU; leave --products at its default, which has them on every CPU"
    case .unusableCache(let path, let reason):
      "cannot use the cached weights \(path): \(reason); remove the file, or name another --cache-dir"
    case .beyondRange(let weight, let largest, .fp16):
      "the weight \(weight) has an entry of magnitude \(largest), but fp16 ends at \(Int(HalfFormat.fp16.largest)); use "
        + "--precision bf16 or fp32"
    case .beyondRange(let weight, let largest, .bf16):
      "the weight \(weight) has an entry of magnitude \(largest), which rounds to infinity in bf16; use --precision fp32"
    }
  }
}
