import CKernels
import Foundation
import Testing

/// Fixed point is exact: the same integers from every set, rounded half to even, read back with one rounding.
@Suite struct KernelFixedPointTests {
  @Test(arguments: KernelSet.available, [-200, -149, -20, 0, 1, 12, 30, 38, 61, 149, 187, 250])
  func addsLikeTheReference(kernels: KernelSet, shift: Int) throws {
    let table = try kernels.table()
    for count in kernelSizes {
      let x = probes(count, shift: shift)
      let before = (0..<count).map { Int64($0) &* 0x1234_5678_9abc }
      var sum = before, expected = before
      let most = table.fixed_point_add(&sum, x, count, Int32(shift))
      let expectedMost = reference_fixed_point_add(&expected, x, count, Int32(shift))
      #expect(sum == expected, "count \(count)")
      #expect(most == expectedMost)
    }
  }

  @Test(arguments: KernelSet.available) func halvesGoToTheEvenNeighbour(kernels: KernelSet) throws {
    let table = try kernels.table()
    let x: [Float] = [
      0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0x1p61, -0x1.fffffep61, 8_388_607.5, 0x1p-149, -0.0, 0.50000006,
    ]
    let rounded: [Int64] = [0, 2, 2, 0, -2, -2, 1 << 61, -((1 << 62) - (1 << 38)), 8_388_608, 0, 0, 1]
    var sum = [Int64](repeating: 0, count: x.count)
    #expect(table.fixed_point_add(&sum, x, x.count, 0) == 0x1.fffffep61)
    #expect(sum == rounded)
    #expect(table.fixed_point_add(&sum, [0x1p-149, -0x1p-149], 2, 149) == 0x1p-149)
    #expect(Array(sum[0..<2]) == [1, 1])
  }

  @Test(arguments: KernelSet.available) func tooLargeEntriesCountAsZeroAndShowInTheMaximum(kernels: KernelSet)
    throws
  {
    let table = try kernels.table()
    var sum: [Int64] = [5, 6, 7]
    #expect(table.fixed_point_add(&sum, [0x1p62, -0x1p62, 3], 3, 0) == 0x1p62)
    #expect(sum == [5, 6, 10])
    #expect(table.fixed_point_add(&sum, [1, -.infinity, 1], 3, 0) == .infinity)
    #expect(table.fixed_point_add(&sum, [1, .nan, .infinity], 3, 0).isNaN)
  }

  @Test(arguments: KernelSet.available) func readsWithOneRounding(kernels: KernelSet) throws {
    let table = try kernels.table()
    var values: [Int64] = [0, 1, -1, .max, .min, 1 << 53, (1 << 53) + 1]
    // Just above the middle between two floats: rounding to double first would land on it and go down.
    values += [
      (1 << 62) + (1 << 38) + 1, -((1 << 62) + (1 << 38) + 1), (1 << 62) + (1 << 38),
      (3 << 61) + (1 << 38) - 1,
    ]
    var state: UInt64 = 1
    for bits in 1...63 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      values += [Int64(bitPattern: state) >> (63 - bits), (1 << (bits - 1)) - 1]
    }
    for shift in [0, 40, -30, 200, 187, -65] {
      var y = [Float](repeating: 0, count: values.count)
      table.fixed_point_read(values, &y, values.count, Int32(shift))
      for (value, got) in zip(values, y) {
        #expect(got == nearestFloat(to: value, shift: shift), "\(value) * 2^-\(shift)")
      }
    }
  }

  /// value * 2^-shift rounded once: by hardware where the result is normal, else in integers.
  private func nearestFloat(to value: Int64, shift: Int) -> Float {
    let direct = Float(value)
    let scaled = Double(direct) * Double(sign: .plus, exponent: -shift, significand: 1)
    if abs(scaled) >= 0x1p-126 || value == 0 { return Float(scaled) }
    let dropped = shift - 149  // the result counts units of 2^-149
    let magnitude = value.magnitude
    let units = dropped >= 64 ? 0 : magnitude >> UInt64(dropped)
    let rest = dropped >= 64 ? magnitude : magnitude & ((1 << UInt64(dropped)) - 1)
    let half: UInt64 = dropped > 64 ? .max : 1 << UInt64(dropped - 1)
    let up = rest > half || (rest == half && units & 1 == 1)
    return (value < 0 ? -1 : 1) * Float(units + (up ? 1 : 0)) * 0x1p-149
  }

  /// Values whose scaled sizes run from far below one half to just under 2^62, ties included.
  private func probes(_ count: Int, shift: Int) -> [Float] {
    sample(count).enumerated().map { index, value in
      let tie = Float(Int(value * 1000)) + 0.5
      let exponent = index % 70 - 8 - shift
      let scaled = index % 2 == 0 ? Double(tie) / 1024 : Double(value)
      return index % 11 == 10 ? -0.0 : Float(scaled * Double(sign: .plus, exponent: exponent, significand: 1))
    }
    .map { $0.isFinite ? $0 : 1 }
  }
}
