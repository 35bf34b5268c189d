import CKernels
import Testing

/// Products of few rows against the plain formula in Double.
@Suite struct KernelNarrowProductTests {
  private static let rowCounts = [1, 2, 3, 4, 5, 6, 7, 8]

  @Test(arguments: KernelSet.available, rowCounts) func transposed(kernels: KernelSet, m: Int) throws {
    let table = try kernels.table()
    for (n, k) in [(1, 1), (2, 15), (3, 16), (7, 17), (5, 63), (33, 130)] {
      let (ldx, ldw, ldy) = (k + 3, k + 1, n + 2)
      let x = sample(m * ldx), w = sample(n * ldw, stream: 2), before = sample(m * ldy, stream: 3)
      var expected = [Double](repeating: 0, count: m * ldy)
      reference_narrow_transposed(x, ldx, w, ldw, &expected, ldy, m, n, k)
      for (alpha, beta) in [(Float(1), Float(0)), (0.5, 1), (-2, 0.25)] {
        var y = before
        table.narrow_transposed(x, ldx, w, ldw, &y, ldy, m, n, k, alpha, beta)
        for row in 0..<m {
          for column in 0..<ldy {
            let index = row * ldy + column
            let wanted =
              column < n
              ? Double(alpha) * expected[index] + Double(beta) * Double(before[index]) : Double(before[index])
            #expect(abs(Double(y[index]) - wanted) <= 2e-6 * Double(k), "n \(n) k \(k) at \(row), \(column)")
          }
        }
      }
    }
  }

  @Test(arguments: KernelSet.available, rowCounts) func plain(kernels: KernelSet, m: Int) throws {
    let table = try kernels.table()
    for (n, k) in [(1, 1), (2, 15), (4, 16), (7, 17), (33, 130), (1_030, 520)] {
      let (ldx, ldw, ldy) = (n + 3, k + 1, k + 2)
      let x = sample(m * ldx), w = sample(n * ldw, stream: 2), before = sample(m * ldy, stream: 3)
      for (alpha, beta) in [(Float(1), Float(0)), (0.5, 1)] {
        var y = before
        table.narrow_plain(x, ldx, w, ldw, &y, ldy, m, k, n, alpha, beta)
        for row in 0..<m {
          for column in 0..<ldy {
            let old = Double(before[row * ldy + column])
            let sum = (0..<n).reduce(0.0) {
              column < k ? $0 + Double(x[row * ldx + $1]) * Double(w[$1 * ldw + column]) : $0
            }
            let wanted = column < k ? Double(alpha) * sum + Double(beta) * old : old
            #expect(
              abs(Double(y[row * ldy + column]) - wanted) <= 2e-6 * Double(n), "n \(n) k \(k) at \(row), \(column)")
          }
        }
      }
    }
  }

  /// With a matrix in fp16 or bfloat16: the bits of the product with the widened one.
  @Test(arguments: KernelSet.available, rowCounts) func halfMatrix(kernels: KernelSet, m: Int) throws {
    let table = try kernels.table()
    for (n, k) in [(1, 1), (2, 15), (5, 63), (33, 130), (1_030, 520)] {
      let halves = sample(n * k, stream: 2).map { reference_float_to_fp16($0) }
      let w = halves.map { reference_fp16_to_float($0) }
      let x = sample(m * max(n, k))
      var (wide, half) = ([Float](repeating: 1, count: m * n), [Float](repeating: 2, count: m * n))
      table.narrow_transposed(x, k, w, k, &wide, n, m, n, k, 1, 0)
      table.narrow_transposed_fp16(x, k, halves, k, &half, n, m, n, k)
      #expect(half == wide, "transposed, n \(n) k \(k)")
      (wide, half) = ([Float](repeating: 1, count: m * k), [Float](repeating: 2, count: m * k))
      table.narrow_plain(x, n, w, k, &wide, k, m, k, n, 1, 0)
      table.narrow_plain_fp16(x, n, halves, k, &half, k, m, k, n)
      #expect(half == wide, "plain, n \(n) k \(k)")
      let short = sample(n * k, stream: 2).map { reference_float_to_bf16($0) }
      let v = short.map { Float(bitPattern: UInt32($0) << 16) }
      table.narrow_plain(x, n, v, k, &wide, k, m, k, n, 1, 0)
      table.narrow_plain_bf16(x, n, short, k, &half, k, m, k, n)
      #expect(half == wide, "plain, bf16, n \(n) k \(k)")
      (wide, half) = ([Float](repeating: 1, count: m * n), [Float](repeating: 2, count: m * n))
      table.narrow_transposed(x, k, v, k, &wide, n, m, n, k, 1, 0)
      table.narrow_transposed_bf16(x, k, short, k, &half, n, m, n, k)
      #expect(half == wide, "transposed, bf16, n \(n) k \(k)")
    }
  }
}
