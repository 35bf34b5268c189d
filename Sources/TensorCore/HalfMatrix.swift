import CKernels

/// A constant matrix `[rows, width]` stored in fp16, without gaps; products with it are those of fp32.
///
/// Safety of `@unchecked Sendable`: the stored numbers are never written.
public struct HalfMatrix: @unchecked Sendable {
  public let rows: Int
  public let width: Int
  private let bits: UnsafePointer<UInt16>
  /// Keeps the memory, own or mapped, alive.
  private let owner: AnyObject

  public init(bits: UnsafePointer<UInt16>, rows: Int, width: Int, owner: AnyObject) {
    self.bits = bits
    self.rows = rows
    self.width = width
    self.owner = owner
  }

  public static func byteCount(rows: Int, width: Int) -> Int { rows * width * MemoryLayout<UInt16>.stride }

  /// The largest number of the format: what is larger cannot be stored.
  public static let largest: Float = 65_504

  /// Writes `weight`, rounded to nearest, as the bytes of a matrix.
  public static func store(_ weight: Tensor, into target: UnsafeMutableRawPointer) {
    k_float_to_fp16(weight.pointer, target.bindMemory(to: UInt16.self, capacity: weight.count), weight.count)
  }

  /// The same numbers in fp32.
  public func widened(in pool: BufferPool) -> Tensor {
    let result = Tensor([rows, width], in: pool)
    k_fp16_to_float(bits, result.pointer, result.count)
    return result
  }

  /// `y [m, rows] = x [m, width] Wᵀ`, or with `transposed` false `y [m, width] = x [m, rows] W`.
  ///
  /// The same bits as the product with the widened matrix.
  public func multiply(_ x: Tensor, transposed: Bool, into y: Tensor, pool: BufferPool) {
    let m = x.rows
    guard isNarrowProduct(m: m, weights: rows * width) else {
      multiplyWide(x, transposed: transposed, into: y, pool: pool)
      return
    }
    if transposed {
      k_narrow_transposed_fp16(x.pointer, width, bits, width, y.pointer, rows, m, rows, width)
    } else {
      k_narrow_plain_fp16(x.pointer, rows, bits, width, y.pointer, width, m, width, rows)
    }
  }

  private func multiplyWide(_ x: Tensor, transposed: Bool, into y: Tensor, pool: BufferPool) {
    let (inputs, outputs) = transposed ? (width, rows) : (rows, width)
    TensorCore.multiply(
      Matrix(x), Matrix(widened(in: pool), transposed: transposed), into: Matrix(y), m: x.rows, n: outputs, k: inputs)
  }
}
