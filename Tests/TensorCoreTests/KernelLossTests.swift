import CKernels
import Foundation
import Testing

/// Cross-entropy and its gradient against Double, and argmax.
@Suite struct KernelLossTests {
  @Test(arguments: KernelSet.available, kernelSizes.dropFirst() + [32_128])
  func crossEntropy(kernels: KernelSet, columns: Int) throws {
    let table = try kernels.table()
    let rows = 4
    let logits = sample(rows * columns, scale: 12)
    let labels: [Int32] = [0, -100, Int32(columns - 1), Int32(columns / 2)]
    var expected = [Double](repeating: 0, count: logits.count)
    let expectedLoss = reference_cross_entropy(logits, labels, &expected, rows, columns)

    var untouched = logits
    let loss = table.cross_entropy(&untouched, labels, rows, columns, 0)
    #expect(untouched == logits)
    #expect(abs(loss - expectedLoss) <= 3e-7 * Double(rows))

    var gradient = logits
    #expect(table.cross_entropy(&gradient, labels, rows, columns, 0.25) == loss)
    #expect(excess(gradient, expected.map { $0 * 0.25 }, absolute: 3e-8, relative: 2e-6) <= 0)
    #expect(gradient[columns..<(2 * columns)].allSatisfy { $0 == 0 })
  }

  @Test(arguments: KernelSet.available) func gradientIsTheSlopeOfTheLoss(kernels: KernelSet) throws {
    let table = try kernels.table()
    let logits = sample(2 * 21, scale: 2)
    let labels: [Int32] = [20, 3]
    var gradient = logits
    _ = table.cross_entropy(&gradient, labels, 2, 21, 1)
    for index in logits.indices {
      let numeric = centralDifference(logits, at: index) { moved in
        var unused = [Double](repeating: 0, count: moved.count)
        return reference_cross_entropy(moved, labels, &unused, 2, 21)
      }
      #expect(abs(Double(gradient[index]) - numeric) <= 1e-6)
    }
  }

  @Test(arguments: KernelSet.available) func nonFiniteLogitsAndBadLabelsGiveNaN(kernels: KernelSet) throws {
    let table = try kernels.table()
    for value in [Float.nan, .infinity] {
      var logits = sample(50)
      logits[33] = value
      #expect(!table.cross_entropy(&logits, [2], 1, 50, 0).isFinite)
    }
    var logits = sample(50)
    #expect(table.cross_entropy(&logits, [50], 1, 50, 0).isNaN)
    #expect(table.cross_entropy(&logits, [-1], 1, 50, 0).isNaN)
  }

  @Test(arguments: KernelSet.available, kernelSizes.dropFirst()) func argmax(kernels: KernelSet, count: Int)
    throws
  {
    let table = try kernels.table()
    for position in Set([0, count / 3, count - 1]) {
      var x = sample(count)
      x[position] = 5
      x[count - 1] = 5
      #expect(table.argmax(x, count) == position)
    }
    #expect(table.argmax([Float](repeating: -.infinity, count: count), count) == 0)
    #expect(table.argmax([Float](repeating: -3, count: count), count) == 0)
  }

  @Test(arguments: KernelSet.available, kernelSizes.dropFirst() + [32_128])
  func logSoftmax(kernels: KernelSet, columns: Int) throws {
    let table = try kernels.table()
    let logits = sample(3 * columns, scale: 12)
    var expected = [Double](repeating: 0, count: logits.count)
    reference_log_softmax(logits, &expected, 3, columns)
    var found = logits
    table.log_softmax(&found, 3, columns)
    #expect(excess(found, expected, absolute: 2e-6, relative: 3e-7) <= 0)
  }

  /// The best first, the lower index first among equals, NaN nowhere.
  @Test(arguments: KernelSet.available, kernelSizes.dropFirst()) func top(kernels: KernelSet, count: Int) throws {
    let table = try kernels.table()
    for wanted in [1, 3, 8, 40] {
      // Values from a few steps: many are equal.
      var x = sample(count, stream: 9).map { ($0 * 12).rounded() }
      if count > 20 { x[7] = .nan }
      if count > 3 { x[2] = -.infinity }
      let expected = x.indices.filter { !x[$0].isNaN }.sorted { x[$0] == x[$1] ? $0 < $1 : x[$0] > x[$1] }
      var best = [Int32](repeating: -1, count: wanted)
      let found = table.top(x, count, wanted, &best)
      #expect(found == min(wanted, expected.count))
      #expect(best.prefix(found).map { Int($0) } == Array(expected.prefix(wanted)), "the best \(wanted)")
    }
    var best = [Int32](repeating: -1, count: 2)
    #expect(table.top([Float](repeating: .nan, count: count), count, 2, &best) == 0)
  }
}
