import CKernels
import Testing

/// Philox against its authors' known answers; dropout masks equal in every set and anywhere in a batch.
@Suite struct KernelRandomTests {
  struct KnownAnswer: Sendable {
    var counter: [UInt32], key: UInt64, words: [UInt32]
  }

  /// From `kat_vectors` of Random123 (philox4x32, 10 rounds).
  static let knownAnswers = [
    KnownAnswer(
      counter: [0, 0, 0, 0], key: 0, words: [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
    KnownAnswer(
      counter: [.max, .max, .max, .max], key: .max,
      words: [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
    KnownAnswer(
      counter: [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], key: 0x299f_31d0_a409_3822,
      words: [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
  ]

  @Test(arguments: KernelSet.available, knownAnswers) func philox(kernels: KernelSet, answer: KnownAnswer)
    throws
  {
    var words: [UInt32] = [0, 0, 0, 0]
    try kernels.table().philox(answer.counter, answer.key, &words)
    #expect(words == answer.words)
  }

  @Test(arguments: KernelSet.available, kernelSizes + [64, 65, 130])
  func dropoutFollowsTheReferenceBitForBit(kernels: KernelSet, width: Int) throws {
    let table = try kernels.table()
    let rows = 3, ld = width + 2
    let x = sample(rows * ld), examples: [UInt32] = [7, 7, .max], positions: [UInt32] = [0, 1, 512]
    for rate: Float in [0, 0.1, 0.5, 0.9999999, 1] {
      var y = x, expected = x
      table.dropout(x, &y, examples, positions, rows, width, ld, 0x1234_5678_9abc_def0, rate)
      reference_dropout(x, &expected, examples, positions, rows, width, ld, 0x1234_5678_9abc_def0, rate)
      if rate == 1 { for row in 0..<rows { for column in 0..<width { expected[row * ld + column] = 0 } } }
      #expect(y.map(\.bitPattern) == expected.map { $0 == 0 ? 0 : $0.bitPattern }, "rate \(rate)")
      if rate == 0 { #expect(y == x) }
    }
  }

  @Test(arguments: KernelSet.available) func masksBelongToExamplesNotRows(kernels: KernelSet) throws {
    let table = try kernels.table()
    let x = [Float](repeating: 1, count: 4 * 100)
    var y = x, moved = x
    table.dropout(x, &y, [1, 2, 3, 4], [9, 9, 9, 8], 4, 100, 100, 5, 0.3)
    table.dropout(x, &moved, [4, 3, 2, 1], [8, 9, 9, 9], 4, 100, 100, 5, 0.3)
    for row in 0..<4 {
      #expect(y[(row * 100)..<(row * 100 + 100)] == moved[((3 - row) * 100)..<((3 - row) * 100 + 100)])
    }
    #expect(y[0..<100] != y[100..<200])
  }

  @Test func dropoutKeepsTheExpectedShare() throws {
    let count = 200_000
    let x = [Float](repeating: 1, count: count)
    var y = x
    k_dropout(x, &y, [0], [0], 1, count, count, 77, 0.1)
    let kept = Double(y.count { $0 != 0 }) / Double(count)
    #expect(abs(kept - 0.9) < 5 * (0.09 / Double(count)).squareRoot())
    #expect(y.allSatisfy { $0 == 0 || $0 == Float(1 / (1 - Double(Float(0.1)))) })
  }
}
