import CKernels

/// A 16-bit floating-point format that constant weights are stored in.
public enum HalfFormat: Sendable {
  case fp16
  case bf16

  /// The largest number of the format: what is larger cannot be stored.
  public var largest: Float {
    switch self {
    case .fp16: 65_504
    case .bf16: 0x1.fep127
    }
  }

  /// `y = x` rounded to the nearest number of the format, in fp32, `count` entries; y may be x.
  public func round(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int) {
    switch self {
    case .fp16: k_round_fp16(x, y, count)
    case .bf16: k_round_bf16(x, y, count)
    }
  }
}

/// A constant matrix `[rows, width]` stored in 16 bits a number, without gaps; products with it are those of fp32.
///
/// Safety of `@unchecked Sendable`: the stored numbers are never written.
public struct HalfMatrix: @unchecked Sendable {
  public let rows: Int
  public let width: Int
  public let format: HalfFormat
  private let bits: UnsafePointer<UInt16>
  /// Keeps the memory, own or mapped, alive.
  private let owner: AnyObject

  public init(bits: UnsafePointer<UInt16>, rows: Int, width: Int, format: HalfFormat, owner: AnyObject) {
    self.bits = bits
    self.rows = rows
    self.width = width
    self.format = format
    self.owner = owner
  }

  public static func byteCount(rows: Int, width: Int) -> Int { rows * width * MemoryLayout<UInt16>.stride }

  /// Writes `weight`, rounded to nearest, as the bytes of a matrix.
  public static func store(_ weight: Tensor, as format: HalfFormat, into target: UnsafeMutableRawPointer) {
    let target = target.bindMemory(to: UInt16.self, capacity: weight.count)
    switch format {
    case .fp16: k_float_to_fp16(weight.pointer, target, weight.count)
    case .bf16: k_float_to_bf16(weight.pointer, target, weight.count)
    }
  }

  /// The same numbers in fp32.
  public func widened(in pool: BufferPool) -> Tensor { widened(rows: 0..<rows, in: pool) }

  private func widened(rows: Range<Int>, in pool: BufferPool) -> Tensor {
    let result = Tensor([rows.count, width], in: pool)
    switch format {
    case .fp16: k_fp16_to_float(bits + rows.lowerBound * width, result.pointer, result.count)
    case .bf16: k_bf16_to_float(bits + rows.lowerBound * width, result.pointer, result.count)
    }
    return result
  }

  /// `y [m, rows] = x [m, width] Wᵀ`, or with `transposed` false `y [m, width] = x [m, rows] W`.
  ///
  /// For a matrix of up to 4,096 rows the same bits as the product with the widened matrix.
  public func multiply(_ x: Tensor, transposed: Bool, into y: Tensor, pool: BufferPool) {
    let m = x.rows
    guard isNarrowProduct(m: m, weights: rows * width) else {
      multiplyWide(x, transposed: transposed, into: y, pool: pool)
      return
    }
    switch (format, transposed) {
    case (.fp16, true): k_narrow_transposed_fp16(x.pointer, width, bits, width, y.pointer, rows, m, rows, width)
    case (.fp16, false): k_narrow_plain_fp16(x.pointer, rows, bits, width, y.pointer, width, m, width, rows)
    case (.bf16, true): k_narrow_transposed_bf16(x.pointer, width, bits, width, y.pointer, rows, m, rows, width)
    case (.bf16, false): k_narrow_plain_bf16(x.pointer, rows, bits, width, y.pointer, width, m, width, rows)
    }
  }

  private func multiplyWide(_ x: Tensor, transposed: Bool, into y: Tensor, pool: BufferPool) {
    // An output head is widened a piece at a time, so that the fp32 copy stays in the cache.
    let pieceRows = transposed && rows > 4_096 ? 1_024 : rows
    for first in stride(from: 0, to: rows, by: pieceRows) {
      let piece = widened(rows: first..<min(first + pieceRows, rows), in: pool)
      let (inputs, outputs) = transposed ? (width, piece.rows) : (rows, width)
      let target = Matrix(y.pointer + (transposed ? first : 0), stride: y.width)
      TensorCore.multiply(
        Matrix(x), Matrix(piece, transposed: transposed), into: target, m: x.rows, n: outputs, k: inputs)
    }
  }
}
