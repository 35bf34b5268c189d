import CKernels
import Foundation
import Testing

/// The attention softmax: forward, recomputation, gradient, bias and causal limits.
@Suite struct KernelAttentionTests {
  struct Tile: Sendable {
    var rows: Int, columns: Int, firstRow: Int, causal: Bool, biased: Bool
  }

  static let tiles = [
    Tile(rows: 1, columns: 1, firstRow: 0, causal: false, biased: false),
    Tile(rows: 5, columns: 15, firstRow: 0, causal: true, biased: true),
    Tile(rows: 7, columns: 16, firstRow: 9, causal: true, biased: false),
    Tile(rows: 4, columns: 17, firstRow: 3, causal: false, biased: true),
    Tile(rows: 64, columns: 1000, firstRow: 936, causal: true, biased: true),
  ]

  @Test(arguments: KernelSet.available, tiles) func softmax(kernels: KernelSet, tile: Tile) throws {
    let table = try kernels.table()
    let ld = tile.columns + 3
    let scores = sample(tile.rows * ld, scale: 8)
    let span = tile.firstRow + tile.rows + tile.columns
    let biases = sample(2 * span + 1, stream: 2, scale: 3)
    var s = scores, again = scores
    var logSumExp = [Float](repeating: 0, count: tile.rows)
    var expected = [Double](repeating: 0, count: tile.rows * tile.columns)
    var expectedLog = [Double](repeating: 0, count: tile.rows)
    biases.withUnsafeBufferPointer { buffer in
      let bias = tile.biased ? buffer.baseAddress.map { $0 + span } : nil
      let causal: Int32 = tile.causal ? 1 : 0
      table.softmax(&s, tile.rows, tile.columns, ld, tile.firstRow, bias, causal, 0.4, &logSumExp)
      table.softmax_again(&again, tile.rows, tile.columns, ld, tile.firstRow, bias, causal, 0.4, logSumExp)
      reference_softmax(
        scores, &expected, &expectedLog, tile.rows, tile.columns, ld, tile.firstRow, bias, causal,
        Double(Float(0.4)))
    }
    for row in 0..<tile.rows {
      let wanted = expected[(row * tile.columns)..<((row + 1) * tile.columns)]
      let range = (row * ld)..<(row * ld + tile.columns)
      #expect(excess(s[range], wanted, absolute: 1e-9, relative: 4e-6) <= 0, "row \(row)")
      #expect(excess(again[range], wanted, absolute: 1e-9, relative: 8e-6) <= 0, "row \(row) again")
      for column in tile.columns..<ld {
        #expect(s[row * ld + column] == scores[row * ld + column], "wrote outside the tile")
      }
      if tile.causal {
        let future = (tile.firstRow + row + 1)..<max(tile.columns, tile.firstRow + row + 1)
        #expect(future.allSatisfy { s[row * ld + $0] == 0 && again[row * ld + $0] == 0 })
      }
    }
    #expect(excess(logSumExp, expectedLog, absolute: 1e-6, relative: 1e-6) <= 0)
  }

  /// With a log-sum-exp of 0 the recomputation is the exponential itself.
  @Test(arguments: KernelSet.available) func exponential(kernels: KernelSet) throws {
    let table = try kernels.table()
    let x = (0..<100_000).map { -86.5 + Float($0) * 0.00175 }
    var y = x
    table.softmax_again(&y, 1, x.count, x.count, 0, nil, 0, 1, [0])
    #expect(excess(y, x.map { exp(Double($0)) }, absolute: 0, relative: 1.3e-7) <= 0)
    var ends: [Float] = [-.infinity, -1e30, -86.7, 0, -0.0, 89, .infinity, .nan]
    table.softmax_again(&ends, 1, ends.count, ends.count, 0, nil, 0, 1, [0])
    #expect(ends[0..<7] == [0, 0, 0, 1, 1, .infinity, .infinity] && ends[7].isNaN)
  }

  @Test(arguments: KernelSet.available) func rowsThatSeeNothing(kernels: KernelSet) throws {
    let table = try kernels.table()
    var s = [Float](repeating: -.infinity, count: 20)
    var logSumExp: Float = 0
    table.softmax(&s, 1, 20, 20, 0, nil, 0, 1, &logSumExp)
    #expect(s == [Float](repeating: 0, count: 20))
    #expect(logSumExp == -.infinity)
    var again = [Float](repeating: -.infinity, count: 20)
    table.softmax_again(&again, 1, 20, 20, 0, nil, 0, 1, &logSumExp)
    #expect(again == s)
  }

  @Test(arguments: KernelSet.available, kernelSizes.dropFirst()) func gradient(
    kernels: KernelSet, columns: Int
  ) throws {
    let table = try kernels.table()
    let rows = 3
    let scores = sample(rows * columns, scale: 3), dp = sample(rows * columns, stream: 2)
    var p = scores, logSumExp = [Float](repeating: 0, count: rows)
    table.softmax(&p, rows, columns, columns, 0, nil, 0, 1, &logSumExp)
    var delta = [Float](repeating: 0, count: rows)
    table.row_dots(p, dp, &delta, rows, columns, columns, columns)
    var dz = dp
    table.softmax_backward(p, &dz, delta, rows, columns, columns)
    for index in Swift.stride(from: 0, to: rows * columns, by: max(1, columns / 20)) {
      let numeric = centralDifference(scores, at: index) { scores in
        var probabilities = [Double](repeating: 0, count: scores.count), logs = [0.0, 0, 0]
        reference_softmax(scores, &probabilities, &logs, rows, columns, columns, 0, nil, 0, 1)
        return zip(probabilities, dp).reduce(0) { $0 + $1.0 * Double($1.1) }
      }
      #expect(abs(Double(dz[index]) - numeric) <= 1e-6, "entry \(index)")
    }
  }

  @Test(arguments: KernelSet.available) func biasGradient(kernels: KernelSet) throws {
    let table = try kernels.table()
    let rows = 5, columns = 37, ld = 40, firstRow = 6
    let dz = sample(rows * ld), before = sample(64, stream: 2)
    let zero = 20
    var dbias = before
    var expected = before.map(Double.init)
    dbias.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      table.bias_gradient(dz, rows, columns, ld, firstRow, base + zero)
    }
    for row in 0..<rows {
      for column in 0..<columns {
        expected[zero + column - (firstRow + row)] += Double(dz[row * ld + column])
      }
    }
    #expect(excess(dbias, expected, absolute: 1e-6, relative: 0) <= 0)
  }
}
