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
}
