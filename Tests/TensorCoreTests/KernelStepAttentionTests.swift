import CKernels
import Testing

/// Attention of single positions over a cache against the plain formula in Double.
@Suite struct KernelStepAttentionTests {
  private static let counts = [1, 2, 15, 16, 17, 33, 70, 600]

  /// Four queries, three heads; keys in the order of the cache, or each query's own choice of them.
  @Test(arguments: KernelSet.available, [8, 16, 24, 64, 80]) func attention(kernels: KernelSet, width: Int) throws {
    let table = try kernels.table()
    let (rows, heads) = (4, 3)
    for count in Self.counts {
      let places = count + 9
      let headStride = places * width + 5
      let q = sample(rows * heads * width, scale: 2)
      let keys = sample(heads * headStride, stream: 2), values = sample(heads * headStride, stream: 3)
      let bias = sample(heads * (count + 3), stream: 4, scale: 3)
      let own = (0..<rows * count).map { Int32(($0 * 7 + $0 / count) % places) }
      for (slots, hasBias) in [([Int32]?.none, false), (nil, true), (own, true)] {
        var expected = [Double](repeating: 0, count: q.count)
        var found = [Float](repeating: 7, count: q.count)
        bias.withUnsafeBufferPointer { bias in
          let bias = hasBias ? bias.baseAddress : nil
          reference_step_attention(
            q, &expected, rows, heads, width, keys, values, headStride, slots, count, bias, count + 3, 0.5)
          table.step_attention(
            q, &found, rows, heads, width, keys, values, headStride, slots, count, bias, count + 3, 0.5)
        }
        #expect(
          excess(found, expected, absolute: 2e-6, relative: 1e-5) <= 0,
          "\(count) keys, slots \(slots != nil), bias \(hasBias)")
      }
    }
  }

  /// Scores far apart: the largest of a later block takes over from the first block's.
  @Test(arguments: KernelSet.available) func aLaterMaximumTakesOver(kernels: KernelSet) throws {
    let (count, width) = (1_200, 16)
    var keys = [Float](repeating: 0, count: count * width)
    keys[700 * width] = 200
    let values = sample(count * width)
    var context = [Float](repeating: 0, count: width)
    let q = [1] + [Float](repeating: 0, count: width - 1)
    try kernels.table().step_attention(q, &context, 1, 1, width, keys, values, 0, nil, count, nil, 0, 1)
    #expect(excess(context, values[700 * width..<701 * width].map(Double.init), absolute: 1e-6, relative: 0) <= 0)
  }
}
