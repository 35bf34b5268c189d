import CKernels
import Testing

/// Products of few rows, transposed on the way and from panels, against the plain formula in Double.
@Suite struct KernelFewRowsTests {
  private static let rowCounts = [1, 2, 7, 9, 12, 13, 25, 40]
  private static let shapes = [(1, 1), (16, 16), (31, 15), (33, 17), (70, 300), (64, 513)]

  @Test(arguments: KernelSet.available, rowCounts) func product(kernels: KernelSet, m: Int) throws {
    let table = try kernels.table()
    for (n, k) in Self.shapes {
      let (ldx, ldw, ldy) = (k + 3, k + 1, n + 2)
      let x = sample(m * ldx), w = sample(n * ldw, stream: 2), before = sample(m * ldy, stream: 3)
      var expected = [Double](repeating: 0, count: m * ldy)
      reference_narrow_transposed(x, ldx, w, ldw, &expected, ldy, m, n, k)
      var panels = [Float](repeating: 9, count: (n + 31) / 32 * k * 32)
      table.pack_panels(w, ldw, &panels, n, k)
      for (alpha, beta) in [(Float(1), Float(0)), (0.5, 1), (-2, 0.25)] {
        var y = before, fromPanels = before
        table.few_rows(x, ldx, w, ldw, &y, ldy, m, n, k, alpha, beta)
        table.panel_product(x, ldx, panels, &fromPanels, ldy, m, n, k, alpha, beta)
        #expect(y == fromPanels, "n \(n) k \(k): the two products differ")
        for index in y.indices {
          let old = Double(before[index])
          let wanted = index % ldy < n ? Double(alpha) * expected[index] + Double(beta) * old : old
          let difference = abs(Double(y[index]) - wanted)
          #expect(difference <= 2e-6 * Double(k), "n \(n) k \(k) at \(index)")
        }
      }
    }
  }

  @Test(arguments: KernelSet.available) func panelsAreTransposedAndPaddedWithZeros(kernels: KernelSet) throws {
    let (n, k) = (37, 21)
    let w = sample(n * k)
    var panels = [Float](repeating: 9, count: 2 * k * 32)
    try kernels.table().pack_panels(w, k, &panels, n, k)
    for row in 0..<64 {
      for column in 0..<k {
        let place = (row / 32 * k + column) * 32 + row % 32
        let expected = row < n ? w[row * k + column] : 0
        #expect(panels[place] == expected)
      }
    }
  }

  /// What a row's product is does not depend on the rows beside it, nor on how many there are.
  @Test(arguments: KernelSet.available) func aRowKnowsNothingOfTheOthers(kernels: KernelSet) throws {
    let table = try kernels.table()
    let (m, n, k) = (29, 45, 530)
    let x = sample(m * k), w = sample(n * k, stream: 2)
    var together = [Float](repeating: 0, count: m * n)
    table.few_rows(x, k, w, k, &together, n, m, n, k, 1, 0)
    for rows in [1, 4, 12] {
      var alone = [Float](repeating: 0, count: rows * n)
      table.few_rows(Array(x[(5 * k)...]), k, w, k, &alone, n, rows, n, k, 1, 0)
      #expect(alone == Array(together[5 * n..<(5 + rows) * n]), "\(rows) rows")
    }
  }
}
