import CKernels
import COpenBLAS
import Testing

/// Errors of products against sums in Double, beside those of OpenBLAS.
@Suite struct ProductAccuracyTests {
  private enum Data: String, CaseIterable {
    case random, positive, cancelling, scaled
  }

  /// RMS and largest error, in units of 2^-24 times the sum of magnitudes.
  private static func errors(_ found: [Float], _ a: [Float], _ b: [Float], m: Int, n: Int, k: Int) -> (
    rms: Double, largest: Double
  ) {
    var (sum, largest) = (0.0, 0.0)
    for row in 0..<m {
      for column in 0..<n {
        var (exact, magnitude) = (0.0, 0.0)
        for q in 0..<k {
          let product = Double(a[row * k + q]) * Double(b[column * k + q])
          exact += product
          magnitude += abs(product)
        }
        let error = abs(Double(found[row * n + column]) - exact) / magnitude * 0x1p24
        sum += error * error
        largest = max(largest, error)
      }
    }
    return ((sum / Double(m * n)).squareRoot(), largest)
  }

  private static func operand(_ data: Data, _ count: Int, k: Int, stream: UInt64) -> [Float] {
    let values = sample(count, stream: stream)
    switch data {
    case .random: return values
    case .positive: return values.map(abs)
    // The second half undoes the first one but for a thousandth.
    case .cancelling:
      return values.indices.map { index in
        let q = index % k
        guard q >= k / 2, stream == 1 else { return abs(values[index - (q >= k / 2 ? k / 2 : 0)]) }
        return -abs(values[index - k / 2]) * 0.999
      }
    // Magnitudes from 2^-20 to 2^20 in no order.
    case .scaled:
      return values.enumerated().map { $1 * Float(sign: .plus, exponent: $0 * 7919 % 41 - 20, significand: 1) }
    }
  }

  @Test func noWorseThanTheLibrary() throws {
    var message = [CChar](repeating: 0, count: 512)
    let core = kernels_best() == KERNEL_SET_AVX2 ? "Haswell" : "SkylakeX"
    try #require(openblas_load(core, &message, 512) == 0, "\(message)")
    for data in Data.allCases {
      // OpenBLAS has kernels of their own for products below a million, which sum otherwise.
      for (size, k) in [(128, 64), (64, 256), (48, 512), (33, 1000), (24, 2048), (16, 8192), (16, 65_536)] {
        let (m, n) = (size, size)
        let (a, b) = (Self.operand(data, m * k, k: k, stream: 1), Self.operand(data, n * k, k: k, stream: 2))
        var (c, d) = ([Float](repeating: 0, count: m * n), [Float](repeating: 0, count: m * n))
        k_product(OPERAND_FP32, a, k, 1, b, 1, k, &c, n, m, n, k, 1, 0)
        _ = openblas_sgemm(0, 1, Int32(m), Int32(n), Int32(k), 1, a, Int32(k), b, Int32(k), 0, &d, Int32(n))
        let found = Self.errors(c, a, b, m: m, n: n, k: k)
        let expected = Self.errors(d, a, b, m: m, n: n, k: k)
        // The written bound: roundings of a block, of the blocks of a span, and of the spans.
        let roundings = min(k, 256) + min((k + 255) / 256, 16) + (k + 4095) / 4096
        #expect(found.largest <= Double(roundings), "\(data) \(k): \(found.largest)")
        #expect(found.largest <= 1.5 * expected.largest, "\(data) \(k): largest \(found.largest), \(expected.largest)")
        #expect(found.rms <= 1.1 * expected.rms, "\(data) \(k): RMS \(found.rms), \(expected.rms)")
      }
    }
  }
}
