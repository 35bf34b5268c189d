import CKernels
import Foundation
import Testing

/// One kernel set this CPU runs, and its functions, called without switching the set in use.
struct KernelSet: Sendable, CustomTestStringConvertible {
  let set: kernel_set

  static let available: [KernelSet] = [KERNEL_SET_SCALAR, KERNEL_SET_AVX2, KERNEL_SET_AVX512, KERNEL_SET_AVX512_BF16]
    .filter { kernels_table($0) != nil }.map { KernelSet(set: $0) }

  var testDescription: String { String(cString: kernels_name(set)) }

  func table() throws -> kernel_table { try #require(kernels_table(set)).pointee }
}

/// Lengths around the vector width of 16.
let kernelSizes = [0, 1, 15, 16, 17, 63, 1000]

/// The same numbers on every run: uniform in -1 ..< 1 times `scale`, `stream` picks an unrelated sequence.
func sample(_ count: Int, stream: UInt64 = 1, scale: Float = 1) -> [Float] {
  var state = stream &* 0x9E37_79B9_7F4A_7C15
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (Float(state >> 40) * 0x1p-23 - 1) * scale
  }
}

/// The largest excess of |got - expected| over `absolute` + `relative` |expected|; infinity where one is NaN.
func excess(
  _ got: some Sequence<Float>, _ expected: some Sequence<Double>, absolute: Double, relative: Double
) -> Double {
  zip(got, expected).reduce(-Double.infinity) { worst, pair in
    let difference = abs(Double(pair.0) - pair.1)
    guard difference.isFinite else { return .infinity }
    return max(worst, difference - absolute - relative * abs(pair.1))
  }
}

/// Runs `body` on a copy of `values` that starts `shift` floats after a 64-byte boundary; its bits afterwards.
func shifted(_ values: [Float], by shift: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) -> [UInt32] {
  let raw = UnsafeMutableRawPointer.allocate(byteCount: (values.count + shift + 16) * 4, alignment: 64)
  defer { raw.deallocate() }
  let start = raw.bindMemory(to: Float.self, capacity: values.count + shift + 16) + shift
  start.initialize(repeating: 7, count: values.count + 1)
  start.update(from: values, count: values.count)
  body(start)
  precondition(start[values.count] == 7, "a kernel wrote behind its output")
  return (0..<values.count).map { start[$0].bitPattern }
}
