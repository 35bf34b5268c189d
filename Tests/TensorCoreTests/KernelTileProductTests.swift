import CKernels
import Testing

/// Products of packed operands against the plain formula in Double.
@Suite struct KernelTileProductTests {
  private static let kinds = [OPERAND_FP32, OPERAND_BF16]
  private static let shapes = [(1, 1, 1), (5, 17, 2), (6, 64, 16), (13, 75, 33), (37, 130, 63)]

  /// The number an operand keeps of `x`.
  private func kept(_ x: Float, _ kind: operand_kind) -> Double {
    guard kind == OPERAND_BF16 else { return Double(x) }
    return Double(Float(bitPattern: UInt32(reference_float_to_bf16(x)) << 16))
  }

  private func steps(_ count: Int, _ kind: operand_kind) -> Int { kind == OPERAND_FP32 ? count : (count + 1) / 2 }

  private func check(
    _ c: [Float], ldc: Int, m: Int, n: Int, alpha: Float, before: [Float], adds: Bool, _ expected: (Int, Int) -> Double
  ) {
    for row in 0..<m {
      for column in 0..<ldc {
        let index = row * ldc + column
        let wanted =
          column < n
          ? Double(alpha) * expected(row, column) + (adds ? Double(before[index]) : 0) : Double(before[index])
        #expect(abs(Double(c[index]) - wanted) <= 1e-5, "\(m) x \(n) at \(row), \(column)")
      }
    }
  }

  /// `c [m, n] = x yᵀ`, summed over the columns of both.
  @Test(arguments: KernelSet.available, kinds) func overColumns(kernels: KernelSet, kind: operand_kind) throws {
    let table = try kernels.table()
    for (m, n, k) in Self.shapes {
      let (ldx, ldy, ldc, ldp) = (k + 3, k + 1, n + 2, (n + 15) / 16 * 16)
      let x = sample(m * ldx), y = sample(n * ldy, stream: 2), before = sample(m * ldc, stream: 3)
      var (packed, left) = ([UInt32](repeating: 1, count: steps(k, kind) * ldp), [UInt32](repeating: 1, count: m * ldx))
      table.pack_columns(kind, y, ldy, &packed, ldp, n, k)
      table.pack_left(x, ldx, &left, ldx, m, k)
      for (alpha, adds) in [(Float(1), false), (0.5, true)] {
        var c = before
        if kind == OPERAND_FP32 {
          table.tile_product(kind, x, ldx, 1, packed, ldp, &c, ldc, m, n, k, alpha, adds ? 1 : 0)
        } else {
          table.tile_product(kind, left, ldx, 1, packed, ldp, &c, ldc, m, n, steps(k, kind), alpha, adds ? 1 : 0)
        }
        check(c, ldc: ldc, m: m, n: n, alpha: alpha, before: before, adds: adds) { row, column in
          (0..<k).reduce(0) { $0 + kept(x[row * ldx + $1], kind) * kept(y[column * ldy + $1], kind) }
        }
      }
    }
  }

  /// `c [m, n] = xᵀ y`, summed over the rows of both.
  @Test(arguments: KernelSet.available, kinds) func overRows(kernels: KernelSet, kind: operand_kind) throws {
    let table = try kernels.table()
    for (m, n, k) in Self.shapes {
      let (ldx, ldy, ldc) = ((m + 15) / 16 * 16, n + 1, n + 2)
      let ldp = (n + 15) / 16 * 16
      let x = sample(k * ldx), y = sample(k * ldy, stream: 2), before = sample(m * ldc, stream: 3)
      var packed = [UInt32](repeating: 1, count: steps(k, kind) * ldp)
      var left = [UInt32](repeating: 1, count: steps(k, kind) * ldx)
      table.pack_rows(kind, y, ldy, &packed, ldp, k, n)
      table.pack_rows(kind, x, ldx, &left, ldx, k, m)
      for (alpha, adds) in [(Float(1), false), (-2, true)] {
        var c = before
        table.tile_product(kind, left, 1, ldx, packed, ldp, &c, ldc, m, n, steps(k, kind), alpha, adds ? 1 : 0)
        check(c, ldc: ldc, m: m, n: n, alpha: alpha, before: before, adds: adds) { row, column in
          (0..<k).reduce(0) { $0 + kept(x[$1 * ldx + row], kind) * kept(y[$1 * ldy + column], kind) }
        }
      }
    }
  }

  /// Neither the row's place in a block nor the number of columns beside it changes an entry's bits.
  @Test(arguments: KernelSet.available, kinds) func entriesAreAlone(kernels: KernelSet, kind: operand_kind) throws {
    let table = try kernels.table()
    let (m, n, k) = (13, 75, 20)
    let x = sample(k * 16), y = sample(k * n, stream: 2)
    func product(firstRow: Int, rows: Int, columns: Int) -> [Float] {
      var packed = [UInt32](repeating: 0, count: k * 80), left = [UInt32](repeating: 0, count: k * 16)
      var c = [Float](repeating: 0, count: m * n)
      table.pack_rows(kind, y, n, &packed, 80, k, columns)
      table.pack_rows(kind, x, 16, &left, 16, k, m)
      left.withUnsafeBufferPointer {
        guard let base = $0.baseAddress else { return }
        table.tile_product(kind, base + firstRow, 1, 16, packed, 80, &c, n, rows, columns, steps(k, kind), 1, 0)
      }
      return c
    }
    let whole = product(firstRow: 0, rows: m, columns: n)
    let part = product(firstRow: 3, rows: 7, columns: 40)
    for row in 0..<7 { for column in 0..<40 { #expect(part[row * n + column] == whole[(row + 3) * n + column]) } }
  }
}
