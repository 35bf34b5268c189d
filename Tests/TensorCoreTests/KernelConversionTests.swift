import CKernels
import Testing

/// All 65,536 half values, and every rounding case on the way back.
@Suite struct KernelConversionTests {
  private static let allHalves = (0...UInt16.max).map { $0 }

  @Test(arguments: KernelSet.available) func widening(kernels: KernelSet) throws {
    let table = try kernels.table()
    let halves = Self.allHalves
    var y = [Float](repeating: 0, count: halves.count)
    table.bf16_to_float(halves, &y, halves.count)
    #expect(y.map(\.bitPattern) == halves.map { UInt32($0) << 16 })
    table.fp16_to_float(halves, &y, halves.count)
    #expect(y.map(\.bitPattern) == halves.map { reference_fp16_to_float($0).bitPattern })
    #expect(y[0x3c01] == 1 + 0x1p-10 && y[0x0001] == 0x1p-24 && y[0xfbff] == -65504 && y[0x7c00] == .infinity)
  }

  @Test(arguments: KernelSet.available, kernelSizes) func narrowing(kernels: KernelSet, count: Int) throws {
    let table = try kernels.table()
    let x = sample(count, scale: 100)
    var y = [UInt16](repeating: 0, count: count)
    table.float_to_fp16(x, &y, count)
    #expect(y == x.map { reference_float_to_fp16($0) })
    table.float_to_bf16(x, &y, count)
    #expect(y == x.map { reference_float_to_bf16($0) })
  }

  @Test(arguments: KernelSet.available) func roundsHalfToEvenAndKeepsSpecialValues(kernels: KernelSet) throws {
    let table = try kernels.table()
    let x: [Float] = [
      65519.996, 65520, -65536, 1 + 0x1p-11, 1 + 0x3p-11, 0x1p-25, 0x1.000002p-25, -0.0, .infinity, .nan,
    ]
    var y = [UInt16](repeating: 0, count: x.count)
    table.float_to_fp16(x, &y, x.count)
    #expect(y == [0x7bff, 0x7c00, 0xfc00, 0x3c00, 0x3c02, 0, 1, 0x8000, 0x7c00, 0x7e00])
    let z: [Float] = [
      1 + 0x1p-8, 1 + 0x3p-8, -0x1.fffffep127, .infinity, Float(bitPattern: 0x7f80_0001), 0x1p-149,
    ]
    y = [UInt16](repeating: 0, count: z.count)
    table.float_to_bf16(z, &y, z.count)
    #expect(y == [0x3f80, 0x3f82, 0xff80, 0x7f80, 0x7fc0, 0])
  }

  /// To fp16 and back, in place as well.
  @Test(arguments: KernelSet.available, kernelSizes) func rounding(kernels: KernelSet, count: Int) throws {
    let table = try kernels.table()
    let special: [Float] = [65519.996, 65520, -70000, 1 + 0x1p-11, 0x1p-25, 0x1.8p-24, .infinity]
    var x = Array((special + sample(count, scale: 100)).prefix(count))
    let expected = x.map { reference_fp16_to_float(reference_float_to_fp16($0)).bitPattern }
    var y = [Float](repeating: 7, count: count)
    table.round_fp16(x, &y, count)
    #expect(y.map(\.bitPattern) == expected)
    x.withUnsafeMutableBufferPointer { table.round_fp16($0.baseAddress, $0.baseAddress, count) }
    #expect(x.map(\.bitPattern) == expected)
  }

  @Test(arguments: KernelSet.available, kernelSizes) func roundsToBFloat16(kernels: KernelSet, count: Int) throws {
    let table = try kernels.table()
    let special: [Float] = [1 + 0x1p-8, 1 + 0x1.8p-7, -0x1.fefp127, 0x1.ffp127, 0x1p-140, -0.0, .infinity]
    var x = Array((special + sample(count, scale: 100)).prefix(count))
    let expected = x.map { UInt32(reference_float_to_bf16($0)) << 16 }
    var y = [Float](repeating: 7, count: count)
    table.round_bf16(x, &y, count)
    #expect(y.map(\.bitPattern) == expected)
    x.withUnsafeMutableBufferPointer { table.round_bf16($0.baseAddress, $0.baseAddress, count) }
    #expect(x.map(\.bitPattern) == expected)
  }

  /// Each half, the middles to its neighbours, and the floats beside the middles.
  @Test(arguments: KernelSet.available) func narrowsEveryBoundary(kernels: KernelSet) throws {
    let table = try kernels.table()
    let x = Self.allHalves.flatMap { half -> [Float] in
      let value = reference_fp16_to_float(half), next = reference_fp16_to_float(half &+ 1)
      let middle = (value + next) / 2
      return [value, middle, middle.nextUp, middle.nextDown]
    }
    var y = [UInt16](repeating: 0, count: x.count)
    table.float_to_fp16(x, &y, x.count)
    #expect(y == x.map { reference_float_to_fp16($0) })
    for half in Self.allHalves where half & 0x7fff <= 0x7c00 { #expect(y[4 * Int(half)] == half) }
  }
}
