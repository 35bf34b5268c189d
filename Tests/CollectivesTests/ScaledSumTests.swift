import Foundation
import Testing

@testable import Collectives

/// Sums of leaves of a scaled loss are those of the plain ones, windows included.
@Suite struct ScaledSumTests {
  private static let counts = [5, 300, 2]

  /// Leaves of one step; tensors have magnitudes of their own.
  private static func leaves(seed: UInt64, magnitude: Int = 0) -> LeafSet {
    var generator = FixedGenerator(seed)
    return LeafSet(
      leaves: (0..<5).map { _ in
        zip(counts, [-3, -20, 12]).map { count, exponent in
          (0..<count).map { _ in generator.float(exponent + magnitude - Int.random(in: 0...9, using: &generator)) }
        }
      })
  }

  private static func scaled(_ set: LeafSet, _ exponent: Int) -> LeafSet {
    let factor = Float(sign: .plus, exponent: exponent, significand: 1)
    return LeafSet(leaves: set.leaves.map { $0.map { $0.map { $0 * factor } } })
  }

  /// Steps of falling and jumping magnitudes, each with another scale.
  @Test func anyScaleGivesTheBitsOfNone() {
    let (plain, scaled) = (ExactSum(counts: Self.counts), ExactSum(counts: Self.counts))
    var repeated = 0
    for (step, magnitude) in [0, -1, -1, -9, -17, 20, 20, 3].enumerated() {
      let set = Self.leaves(seed: UInt64(step + 1), magnitude: magnitude)
      let exponent = [10, 11, 10, 16, 0, 40, 3, 90][step]
      let expected = set.reduce(with: [plain], assignment: [Array(0..<5)])
      let found = Self.scaled(set, exponent).reduce(with: [scaled], assignment: [Array(0..<5)], scaleExponent: exponent)
      #expect(found.outcome == .done && found.bits == expected.bits, "step \(step)")
      #expect(found.attempts == expected.attempts && scaled.exponents == plain.exponents, "step \(step)")
      repeated += found.attempts - 1
    }
    #expect((1..<8).contains(repeated))
  }

  /// A scale that grows or shrinks between steps of a steady run makes no step be computed twice.
  @Test func aNewScaleNeedsNoRepetition() {
    let sum = ExactSum(counts: Self.counts)
    var attempts = [Int]()
    for exponent in [16, 17, 0, 60, 16, 15, 14] {
      let set = Self.scaled(Self.leaves(seed: 7), exponent)
      attempts.append(set.reduce(with: [sum], assignment: [Array(0..<5)], scaleExponent: exponent).attempts)
    }
    #expect(attempts.dropFirst().allSatisfy { $0 == 1 }, "\(attempts)")
  }

  /// One leaf overflows on one rank: all ranks see it, keep their windows, and the next step at half the scale has the
  /// bits of a run that never overflowed.
  @Test(arguments: 0..<3) func anOverflowOnOneRankChangesNothing(rank: Int) {
    let sums = (0..<3).map { _ in ExactSum(counts: Self.counts) }
    let assignment = [[0, 3], [1], [2, 4]]
    let first = Self.leaves(seed: 1)
    _ = Self.scaled(first, 16).reduce(with: sums, assignment: assignment, scaleExponent: 16)
    let windows = sums[0].exponents
    var bad = Self.scaled(Self.leaves(seed: 2), 17)
    bad.leaves[assignment[rank][0]][1][7] = -.infinity
    let overflowed = bad.reduce(with: sums, assignment: assignment, scaleExponent: 17)
    #expect(overflowed.outcome == .nonFinite && overflowed.attempts == 1)
    #expect(sums.allSatisfy { $0.exponents == windows })

    let alone = ExactSum(counts: Self.counts)
    _ = first.reduce(with: alone)
    let next = Self.leaves(seed: 3)
    let expected = next.reduce(with: [alone], assignment: [Array(0..<5)])
    let found = Self.scaled(next, 16).reduce(with: sums, assignment: assignment, scaleExponent: 16)
    #expect(found.outcome == .done && found.attempts == 1 && found.bits == expected.bits)
  }
}
