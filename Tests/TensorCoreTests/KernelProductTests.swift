import CKernels
import Testing

/// Products against the one expression that each entry is, bit by bit, in every set.
@Suite struct KernelProductTests {
  /// An operand `[rows, columns]`, by rows or by columns, in rows further apart than they are long.
  private struct Operand {
    let values: [Float]
    let row: Int
    let column: Int

    init(_ rows: Int, _ columns: Int, isTransposed: Bool, stream: UInt64, scale: (Int) -> Float = { _ in 1 }) {
      let width = (isTransposed ? rows : columns) + 3
      values = sample((isTransposed ? columns : rows) * width, stream: stream).enumerated().map { $1 * scale($0) }
      (row, column) = isTransposed ? (1, width) : (width, 1)
    }
  }

  /// m, n, k: parts of tiles, panels, blocks and passes, and each of them whole.
  private static let shapes = [
    (1, 1, 1), (5, 16, 7), (12, 32, 256), (13, 33, 257), (6, 15, 512), (1, 130, 300), (2, 40, 1), (3, 64, 31),
    (400, 20, 40), (25, 2100, 9), (17, 47, 0), (7, 48, 769), (3, 20, 4096), (2, 17, 8500),
  ]

  @Test(arguments: KernelSet.available, [OPERAND_FP32, OPERAND_BF16])
  func theReferenceBitByBit(kernels: KernelSet, kind: operand_kind) throws {
    let table = try kernels.table()
    for (m, n, k) in Self.shapes where kernels.set != KERNEL_SET_SCALAR || m * n * k < 300_000 {
      for form in 0..<4 {
        // Every third number is tiny: products and sums below the normal numbers, which bfloat16 takes for zero.
        let a = Operand(m, k, isTransposed: form & 1 == 1, stream: 1) { $0 % 3 == 0 ? 0x1p-110 : 1 }
        let b = Operand(k, n, isTransposed: form & 2 == 2, stream: 2) { $0 % 5 == 0 ? 0x1p-30 : 1 }
        for (alpha, adds) in [(Float(1), Int32(0)), (-0.37, 1)] {
          let before = sample(m * (n + 2), stream: 3)
          var (found, expected) = (before, before)
          table.product(
            kind, a.values, a.row, a.column, b.values, b.row, b.column, &found, n + 2, m, n, k, alpha, adds)
          reference_product(
            kind, a.values, a.row, a.column, b.values, b.row, b.column, &expected, n + 2, m, n, k, alpha, adds)
          #expect(
            found.map(\.bitPattern) == expected.map(\.bitPattern), "\(m) x \(n) x \(k), form \(form), alpha \(alpha)")
        }
      }
    }
  }

  @Test(arguments: KernelSet.available, [WEIGHT_FP32, WEIGHT_FP16, WEIGHT_BF16])
  func panelsGiveTheBitsOfTheNumbersTheyHold(kernels: KernelSet, format: weight_format) throws {
    let table = try kernels.table()
    let kind = format == WEIGHT_BF16 ? OPERAND_BF16 : OPERAND_FP32
    for (m, outputs, inputs) in [
      (1, 16, 16), (1, 300, 40), (2, 70, 513), (5, 33, 31), (9, 257, 20), (40, 17, 300), (390, 48, 24), (3, 2100, 5),
      (2, 20, 4200), (2, 4200, 20),
    ] where kernels.set != KERNEL_SET_SCALAR || m * outputs * inputs < 300_000 {
      for isTransposed in [false, true] {
        let weight = Operand(outputs, inputs, isTransposed: isTransposed, stream: 2)
        var stored = weight.values
        switch format {
        case WEIGHT_FP16: stored = stored.map { reference_fp16_to_float(reference_float_to_fp16($0)) }
        case WEIGHT_BF16: stored = stored.map { Float(bitPattern: UInt32(reference_float_to_bf16($0)) << 16) }
        default: break
        }
        var panels = [Float](repeating: .nan, count: (outputs + 15) / 16 * 16 * inputs)
        table.pack_weight(format, weight.values, weight.row, weight.column, &panels, outputs, inputs)
        let (x, dy) = (sample(m * inputs, stream: 4), sample(m * outputs, stream: 5))
        var (y, expected) = ([Float](repeating: 7, count: m * outputs), [Float](repeating: 7, count: m * outputs))
        table.weight_product(format, x, inputs, panels, &y, outputs, m, outputs, inputs)
        reference_product(
          kind, x, inputs, 1, stored, weight.column, weight.row, &expected, outputs, m, outputs, inputs, 1, 0)
        #expect(y.map(\.bitPattern) == expected.map(\.bitPattern), "\(m), \(outputs), \(inputs) \(isTransposed)")
        var (dx, expectedBack) = (x, x)
        table.weight_product_back(format, dy, outputs, panels, &dx, inputs, m, outputs, inputs)
        reference_product(
          kind, dy, outputs, 1, stored, weight.row, weight.column, &expectedBack, inputs, m, inputs, outputs, 1, 0)
        #expect(
          dx.map(\.bitPattern) == expectedBack.map(\.bitPattern), "back \(m), \(outputs), \(inputs) \(isTransposed)")
      }
    }
  }

  /// Infinities and undefined numbers arrive where IEEE arithmetic takes them, and nowhere else.
  @Test(arguments: KernelSet.available) func numbersThatAreNotFiniteStayInTheirRow(kernels: KernelSet) throws {
    let (m, n, k) = (14, 37, 270)
    var a = sample(m * k)
    a[3 * k + 5] = .infinity
    a[11 * k + 269] = .nan
    let b = sample(n * k, stream: 2)
    var c = [Float](repeating: 0, count: m * n)
    try kernels.table().product(OPERAND_FP32, a, k, 1, b, 1, k, &c, n, m, n, k, 1, 0)
    for row in 0..<m {
      let values = c[row * n..<(row + 1) * n]
      #expect(values.allSatisfy { $0.isFinite } == (row != 3 && row != 11), "row \(row)")
    }
  }
}
