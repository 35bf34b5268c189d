import CKernels
import Foundation
import Testing

@testable import TensorCore

/// Elementary functions of the project's own: their errors, their ends, and the bits that every machine must give.
@Suite struct PortableTests {
  private static func spread(_ range: ClosedRange<Double>, stream: UInt64) -> [Double] {
    let (middle, half) = ((range.lowerBound + range.upperBound) / 2, (range.upperBound - range.lowerBound) / 2)
    return sample(20_000, stream: stream).map { middle + half * Double($0) }
  }

  /// Largest error in units of the last place of what the system's library says.
  private static func error(_ xs: [Double], _ own: (Double) -> Double, _ library: (Double) -> Double) -> Double {
    xs.map { abs(own($0) - library($0)) / library($0).ulp }.max() ?? .infinity
  }

  @Test func errorsAreThoseStated() {
    let exponents = Self.spread(-700...700, stream: 1) + Self.spread(-1...1, stream: 2)
    #expect(Self.error(exponents, Portable.exp, Foundation.exp) <= 1)
    let positive = Self.spread(0...3, stream: 3).map { $0 + 1e-9 } + exponents.map(Foundation.exp)
    #expect(Self.error(positive, Portable.log, Foundation.log) <= 1)
    let small = Self.spread(0...1, stream: 4) + Self.spread(-40...0, stream: 5).map(Foundation.exp)
    #expect(Self.error(small, Portable.log1p, Foundation.log1p) <= 3)
    let turns = Self.spread(-3...3, stream: 6)
    // The library's argument is rounded, up to 6π · 2⁻⁵³ off: its own error, not ours.
    #expect(turns.allSatisfy { abs(Portable.cosine(turns: $0) - Foundation.cos(2 * .pi * $0)) < 4e-15 })
    for (base, exponent) in zip(positive, Self.spread(-20...20, stream: 7)) {
      let expected = Foundation.pow(base, exponent)
      guard expected.isNormal else { continue }
      let bound = (2 + 2 * abs(exponent * Foundation.log(base))) * 0x1p-52
      #expect(abs(Portable.pow(base, exponent) / expected - 1) <= bound, "\(base) \(exponent)")
    }
  }

  @Test func ends() {
    #expect(Portable.exp(.infinity) == .infinity && Portable.exp(-.infinity) == 0 && Portable.exp(0) == 1)
    #expect(Portable.exp(710) == .infinity && Portable.exp(-745) > 0 && Portable.exp(-746) == 0)
    #expect(Portable.exp(.nan).isNaN && Portable.log(.nan).isNaN && Portable.log(-1).isNaN)
    #expect(Portable.log(0) == -.infinity && Portable.log(.infinity) == .infinity && Portable.log(1) == 0)
    #expect(Portable.log(.leastNonzeroMagnitude) == Foundation.log(.leastNonzeroMagnitude))
    #expect(Portable.log1p(0) == 0 && Portable.log1p(1e-300) == 1e-300)
    #expect([0, 0.25, 0.5, 0.75, 1, -0.5].map { Portable.cosine(turns: $0) } == [1, 0, -1, 0, 1, -1])
    #expect(Portable.cosine(turns: .infinity).isNaN && Portable.cosine(turns: .nan).isNaN)
    #expect(Portable.pow(0, 2) == 0 && Portable.pow(0, 0) == 1 && Portable.pow(7, 0) == 1 && Portable.pow(1, 1e9) == 1)
  }

  @Test func bitsAreThoseOfEveryMachine() {
    var hash: UInt64 = 14_695_981_039_346_656_037
    for x in Self.spread(-30...30, stream: 8) {
      for value in [
        Portable.exp(x), Portable.log(abs(x)), Portable.log1p(abs(x)), Portable.cosine(turns: x),
        Portable.pow(abs(x), 0.7),
      ] {
        hash = (hash ^ value.bitPattern) &* 1_099_511_628_211
      }
    }
    #expect(hash == 0xebe6_c2e0_a0c2_c1cf, "0x\(String(hash, radix: 16))")
  }

  /// A library that was built for speed makes subnormal numbers zero in the thread that loads it.
  @Test func aThreadRoundsAsEveryOther() throws {
    let set = try #require(kernels_table(kernels_selected())).pointee
    func product() -> Float {
      var x = [Float](repeating: 0x1p-126, count: 16)
      set.scale(&x, 0.5, 16)
      return x[0]
    }
    set_rounding(UInt32(ROUNDING_WITHOUT_SUBNORMALS))
    let flushed = product()
    MatrixBackend.prepareThread()
    #expect(flushed == 0 && product() == 0x1p-127)
  }
}
