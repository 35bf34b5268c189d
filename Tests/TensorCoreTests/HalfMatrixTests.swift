import CKernels
import Testing

@testable import TensorCore

/// Products with matrices of 16-bit numbers against those with the widened matrix.
@Suite struct HalfMatrixTests {
  private func stored(_ weight: Tensor, _ format: HalfFormat) -> (matrix: HalfMatrix, widened: Tensor) {
    let bits = Tensor(zeros: [(weight.count + 1) / 2])
    let matrix = bits.withBits { base in
      HalfMatrix.store(weight, as: format, into: base)
      return HalfMatrix(bits: base, rows: weight.rows, width: weight.width, format: format, owner: bits.storage)
    }
    let widened = Tensor(weight.values, shape: weight.shape)
    format.round(widened.pointer, into: widened.pointer, count: widened.count)
    return (matrix, widened)
  }

  private func bits(_ tensor: Tensor) -> [UInt32] {
    (0..<tensor.count).map { tensor.pointer[$0].bitPattern }
  }

  /// For a few rows, for more, and for many: three kinds of product.
  @Test(arguments: [HalfFormat.fp16, .bf16], [3, 40, 120])
  func theBitsOfTheWidenedMatrix(format: HalfFormat, m: Int) {
    let pool = BufferPool()
    let (rows, width) = (160, 128)
    let (matrix, widened) = stored(Tensor(sample(rows * width, stream: 2), shape: [rows, width]), format)
    #expect(bits(matrix.widened(in: pool)) == bits(widened))
    for transposed in [true, false] {
      let (inputs, outputs) = transposed ? (width, rows) : (rows, width)
      let x = Tensor(sample(m * inputs), shape: [m, inputs])
      let (y, expected) = (Tensor(zeros: [m, outputs]), Tensor(zeros: [m, outputs]))
      matrix.multiply(x, transposed: transposed, into: y, pool: pool)
      multiply(
        Matrix(x), Matrix(widened, transposed: transposed), into: Matrix(expected), m: m, n: outputs, k: inputs)
      #expect(bits(y) == bits(expected), "transposed \(transposed)")
    }
  }

  /// An output head is widened in pieces, the last of them a short one.
  @Test(arguments: [7, 40, 120]) func aHeadInPieces(m: Int) {
    let (rows, width) = (5 * 1_024 + 37, 24)
    let (matrix, widened) = stored(Tensor(sample(rows * width, stream: 2), shape: [rows, width]), .bf16)
    let x = Tensor(sample(m * width), shape: [m, width])
    let y = Tensor(zeros: [m, rows])
    matrix.multiply(x, transposed: true, into: y, pool: BufferPool())
    for row in 0..<m {
      for output in 0..<rows {
        let expected = (0..<width).reduce(0.0) {
          $0 + Double(x.pointer[row * width + $1]) * Double(widened.pointer[output * width + $1])
        }
        let found = Double(y.pointer[row * rows + output])
        if abs(found - expected) > 1e-5 { Issue.record("\(row), \(output): \(found), expected \(expected)") }
      }
    }
  }

  /// What `native` and `widened` differ in is the order of a sum of the same exact products.
  @Test func widenedAgreesWithNative() throws {
    let (m, n, k) = (37, 96, 512)
    let weight = Tensor(sample(n * k, stream: 2), shape: [n, k])
    let x = Tensor(sample(m * k), shape: [m, k])
    HalfFormat.bf16.round(x.pointer, into: x.pointer, count: x.count)
    let widened = Tensor(zeros: [m, n])
    stored(weight, .bf16).matrix.multiply(x, transposed: true, into: widened, pool: BufferPool())
    guard BFloat16Products.available == .native else {
      #expect(throws: PackingError.self) { try PackedMatrix(weight, transposed: true, k: k, n: 0) }
      return
    }
    let (bits, native) = (Tensor(zeros: [m * k / 2]), Tensor(zeros: [m, n]))
    let packed = try PackedMatrix(weight, transposed: true, k: k, n: n)
    bits.withBits {
      k_float_to_bf16(x.pointer, $0, x.count)
      packed.multiply($0, rows: m, into: native.pointer)
    }
    let largest = zip(native.values, widened.values).map { abs($0 - $1) }.max() ?? .infinity
    // Sums of 512 products of up to 1, each partial sum rounded to 2^-24 of itself.
    #expect(largest > 0 && largest < 2e-5, "\(largest)")
  }

  @Test func productsThatTheLibraryRefusesAreErrors() {
    let error = #expect(throws: PackingError.self) { try PackedMatrix.byteCount(k: 0, n: 64) }
    let text = error?.description ?? ""
    #expect(text.contains("[0, 64]") && text.contains("--precision fp32"), "\(text)")
  }
}
