import Foundation
import Testing

@testable import Collectives

struct ExactSumTests {
  let counts = [1, 300, 70_000]

  func randomLeaves(_ count: Int, seed: UInt64, exponent: Int = -5) -> LeafSet {
    var generator = FixedGenerator(seed)
    return LeafSet(
      leaves: (0..<count).map { _ in
        counts.map { length in
          (0..<length).map { _ in generator.float(exponent - Int.random(in: 0...12, using: &generator)) }
        }
      })
  }

  // MARK: The same bits for any layout

  @Test func anyPartitionAndOrderGivesTheSameBits() throws {
    let set = randomLeaves(9, seed: 1)
    let alone = set.reduce(with: [ExactSum(counts: counts)], assignment: [Array(0..<9)])
    #expect(alone.outcome == .done && alone.bits.map(\.count) == counts)
    var generator = FixedGenerator(2)
    for ranks in 1...5 {
      for _ in 0..<3 {
        var assignment = [[Int]](repeating: [], count: ranks)
        for leaf in (0..<9).shuffled(using: &generator) {
          assignment[Int.random(in: 0..<ranks, using: &generator)].append(leaf)
        }
        let sums = (0..<ranks).map { _ in ExactSum(counts: counts) }
        let order = (0..<ranks).shuffled(using: &generator)
        let result = set.reduce(with: sums, assignment: assignment, order: order)
        #expect(result.bits == alone.bits, "assignment \(assignment), order \(order)")
        #expect(Set(sums.map(\.exponents)).count == 1)
      }
    }
  }

  @Test func floatSumsWouldDifferBetweenOrders() {
    // The property above says something only if plain addition of the same leaves fails it.
    let set = randomLeaves(9, seed: 1)
    let forward = (0..<300).map { index in set.leaves.reduce(Float(0)) { $0 + $1[1][index] } }
    let backward = (0..<300).map { index in set.leaves.reversed().reduce(Float(0)) { $0 + $1[1][index] } }
    #expect(forward != backward)
  }

  @Test func manyThreadsGiveTheSameBits() throws {
    let set = randomLeaves(24, seed: 3)
    let alone = set.reduce(with: ExactSum(counts: counts))
    let sum = ExactSum(counts: counts, controlCount: 1)
    for _ in 0..<5 {
      try sum.restore(exponents: counts.map { _ in GradientWindow.unknown })
      sum.begin(leafCount: 24)
      DispatchQueue.concurrentPerform(iterations: 24) { leaf in
        LeafSet.add(set.leaves[leaf], to: sum)
        sum.addControl(0, Int64(leaf))
      }
      sum.seal()
      #expect(sum.finish() == .done)
      #expect(sum.control(0) == 276)
      for tensor in counts.indices {
        #expect(LeafSet.read(tensor, of: sum).map(\.bitPattern) == alone.values[tensor].map(\.bitPattern))
      }
    }
  }

  @Test func threadsThatMeetAtOneLockLoseNothing() {
    // One segment: every thread wants the same lock all the time.
    let length = 1 << 15
    let sum = ExactSum(counts: [length], controlCount: 1)
    let perThread = 500
    sum.begin(leafCount: 4 * perThread)
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      let ones = [Float](repeating: 1, count: length)
      ones.withUnsafeBufferPointer { buffer in
        for _ in 0..<perThread {
          sum.add(leaf: [buffer.baseAddress])
          sum.addControl(0, 1)
        }
      }
    }
    sum.seal()
    #expect(sum.finish() == .done)
    #expect(sum.control(0) == Int64(4 * perThread))
    #expect(LeafSet.read(0, of: sum) == [Float](repeating: Float(4 * perThread), count: length))
  }

  // MARK: The error bound

  /// L 2^(e + k - 63) for what was added, half an ulp of the result for the rounding to float.
  func expectWithinBound(_ set: LeafSet, _ values: [[Float]], exponents: [Int32], bits: Int) {
    let (sums, maxima) = set.exactly()
    for tensor in set.counts.indices {
      let shift = GradientWindow.shift(exponent: exponents[tensor], leafBits: bits)
      let half = Double(sign: .plus, exponent: -Int(shift) - 1, significand: 1)
      let bound = Double(set.leaves.count) * half
      #expect(
        bound <= Double(set.leaves.count) * maxima[tensor] * exp2(Double(bits - 39)) || maxima[tensor] == 0)
      for (found, expected) in zip(values[tensor], sums[tensor]) {
        // The Double sum itself is off by a little, too.
        let rounding = Double(found.ulp) / 2 + Double(set.leaves.count) * maxima[tensor] * 0x1p-53
        if !(abs(Double(found) - expected) <= bound + rounding) {
          Issue.record("tensor \(tensor): \(found) for \(expected), bound \(bound)")
          return
        }
      }
    }
  }

  @Test(arguments: [-40, -25, -5, 0, 7, 30, 100])
  func sumsAreWithinTheBound(exponent: Int) {
    let set = randomLeaves(12, seed: 4, exponent: exponent)
    let sum = ExactSum(counts: counts)
    for _ in 0..<3 {
      // `.again` may set the windows during the step: take those it was done with.
      var result = set.reduce(with: sum)
      let windows = sum.exponents
      result = set.reduce(with: sum)
      #expect(result.outcome == .done && result.attempts == 1)
      expectWithinBound(set, result.values, exponents: windows, bits: 6)
    }
  }

  @Test func manyLeavesAreWithinTheBound() {
    var generator = FixedGenerator(5)
    let set = LeafSet(leaves: (0..<1000).map { _ in [(0..<20).map { _ in generator.float() }] })
    let sum = ExactSum(counts: [20])
    let windows = sum.exponents
    let result = set.reduce(with: sum)
    #expect(result.outcome == .done && result.attempts == 1)
    expectWithinBound(set, result.values, exponents: windows, bits: 10)
  }

  @Test func largestLeavesDoNotOverflow() {
    // Every entry just below the top of the window, as many leaves as the room was made for.
    let top = Float(sign: .plus, exponent: 8, significand: 1).nextDown
    let set = LeafSet(leaves: [[[Float]]](repeating: [[top, -top]], count: 64))
    let result = set.reduce(with: ExactSum(counts: [2]))
    #expect(result.outcome == .done && result.attempts == 1)
    #expect(result.values == [[top * 64, -top * 64]])
  }

  // MARK: Adversarial values

  func sumOf(_ values: [Float], counts: [Int] = [1]) -> (ExactSum.Outcome, Float, Int) {
    let result = LeafSet(leaves: values.map { [[$0]] }).reduce(with: ExactSum(counts: counts))
    return (result.outcome, result.values.first?.first ?? .nan, result.attempts)
  }

  @Test func tinyNextToHuge() {
    // 2^30 and -2^30 cancel; what is left is far below a float's resolution of either.
    let (outcome, value, attempts) = sumOf([0x1p30, 0x1.8p-10, -0x1p30, 0x1p-12])
    #expect(outcome == .done && attempts == 2)
    #expect(value == 0x1.8p-10 + 0x1p-12)
  }

  @Test func cancellation() {
    let (outcome, value, _) = sumOf([1.5, -1.5, 0.25, -0.25])
    #expect(outcome == .done && value == 0 && value.sign == .plus)
    var generator = FixedGenerator(6)
    let parts = (0..<20).map { _ in generator.float(3) }
    let (_, rest, attempts) = sumOf(parts + parts.map { -$0 } + [0x1p-30])
    #expect(rest == 0x1p-30 && attempts == 1)
  }

  @Test func cancellingLeavesStayInTheirWindow() {
    // A sum that cancels to next to nothing must not shrink the window: it is the leaves that have to fit.
    let set = LeafSet(leaves: [[[1.0]], [[-1.0]], [[0x1p-40]]])
    let sum = ExactSum(counts: [1])
    for _ in 0..<10 {
      let result = set.reduce(with: sum)
      #expect(result.outcome == .done && result.attempts == 1 && result.values == [[0x1p-40]])
    }
  }

  @Test func denormals() {
    let smallest = Float.leastNonzeroMagnitude
    let (outcome, value, _) = sumOf([smallest, smallest, -smallest, 4 * smallest])
    #expect(outcome == .done && value == 5 * smallest)
    let (mixed, large, _) = sumOf([Float.leastNormalMagnitude, -smallest, .leastNormalMagnitude])
    #expect(mixed == .done && large == Float.leastNormalMagnitude.nextDown + .leastNormalMagnitude)
  }

  @Test func signedZeros() {
    let (outcome, value, attempts) = sumOf([-0.0, 0.0, -0.0])
    #expect(outcome == .done && attempts == 1)
    #expect(value.bitPattern == 0)
  }

  @Test func largestFloats() {
    let huge = Float.greatestFiniteMagnitude
    let (outcome, value, _) = sumOf([huge, -huge, huge / 2])
    #expect(outcome == .done && value == huge / 2)
    let (overflow, infinite, _) = sumOf([huge, huge])
    #expect(overflow == .done && infinite == .infinity)
  }

  @Test(arguments: [Float.infinity, -.infinity, .nan, -.nan])
  func nonFiniteLeavesSetTheFlagOnly(bad: Float) {
    // Also together with a leaf out of its window, which must not ask for a repetition.
    for other in [Float(1), 0x1p60] {
      for place in 0..<3 {
        var leaves: [[[Float]]] = [[[other], [1]], [[1], [1]], [[1], [1]]]
        leaves[place][place % 2][0] = bad
        let sums = [ExactSum(counts: [1, 1]), ExactSum(counts: [1, 1])]
        let before = sums[0].exponents
        let result = LeafSet(leaves: leaves).reduce(with: sums, assignment: [[0, 2], [1]])
        #expect(result.outcome == .nonFinite && result.attempts == 1)
        #expect(sums.allSatisfy { $0.exponents == before })
        let good = LeafSet(leaves: [[[1], [2]]]).reduce(with: sums[0])
        #expect(good.outcome == .done && good.values == [[1], [2]])
      }
    }
  }

  @Test(arguments: [40, -40, 100, -100])
  func jumpsBetweenStepsAreRepeatedOnce(jump: Int) {
    let sum = ExactSum(counts: [3, 1])
    let step: [[Float]] = [[1, -0.5, 0.25], [3]]
    let factor = Float(sign: .plus, exponent: jump, significand: 1)
    let other = step.map { $0.map { $0 * factor } }
    for (leaf, attempts) in [(step, 1), (other, 2), (step, 2), (other, 2)] {
      let result = LeafSet(leaves: [leaf, leaf]).reduce(with: sum)
      #expect(result.outcome == .done && result.attempts == attempts)
      #expect(result.values == leaf.map { $0.map { $0 * 2 } })
    }
  }

  @Test func zeroTensorsKeepTheirWindow() {
    let sum = ExactSum(counts: [2, 1])
    let zero = LeafSet(leaves: [[[0, 0], [0x1p-20]]])
    let first = zero.reduce(with: sum)
    #expect(first.outcome == .done && first.values == [[0, 0], [0x1p-20]])
    #expect(sum.exponents[0] == GradientWindow.unknown && sum.exponents[1] < 0)
    let some = LeafSet(leaves: [[[0x1p-3, 0], [0]]])
    let window = sum.exponents[1]
    let second = some.reduce(with: sum)
    #expect(second.outcome == .done && second.values == [[0x1p-3, 0], [0]])
    #expect(sum.exponents[1] == window)
  }

  @Test func missingGradientsAreZeros() {
    let sum = ExactSum(counts: [1, 1])
    sum.begin(leafCount: 2)
    let value: [Float] = [2]
    value.withUnsafeBufferPointer { buffer in
      sum.add(leaf: [nil, buffer.baseAddress])
      sum.add(leaf: [buffer.baseAddress, buffer.baseAddress])
    }
    sum.seal()
    #expect(sum.finish() == .done)
    #expect(LeafSet.read(0, of: sum) == [2] && LeafSet.read(1, of: sum) == [4])
  }

  // MARK: Windows over time

  @Test func windowsFollowWithoutRepetition() {
    // Gradients that fall by one bit a step, then rise again: after the first step nothing is repeated.
    let sum = ExactSum(counts: [1])
    for exponent in Array(stride(from: 0, through: -90, by: -1)) + Array(-90...60) {
      let value = Float(sign: .plus, exponent: exponent, significand: 1.25)
      let result = LeafSet(leaves: [[[value]]]).reduce(with: sum)
      #expect(result.attempts == 1 && result.values == [[value]], "exponent \(exponent)")
    }
  }

  @Test func restoredExponentsReplayTheBits() throws {
    let sum = ExactSum(counts: counts)
    _ = randomLeaves(5, seed: 8).reduce(with: sum)
    let saved = sum.exponents
    let next = randomLeaves(5, seed: 9, exponent: 3)
    let expected = next.reduce(with: sum)
    let resumed = ExactSum(counts: counts)
    try resumed.restore(exponents: saved)
    #expect(next.reduce(with: resumed).values == expected.values)
    #expect(resumed.exponents == sum.exponents)
    #expect(throws: CollectivesError.self) { try resumed.restore(exponents: [1]) }
  }

  @Test func leavesThatChangeWhenRepeatedAreAnError() throws {
    let sum = ExactSum(counts: [1, 1])
    func attempt(_ value: Float) throws -> ExactSum.Outcome {
      sum.begin(leafCount: 1)
      LeafSet.add([[1], [value]], to: sum)
      return try sum.reduceAlone()
    }
    #expect(try attempt(0x1p20) == .again)
    #expect(try attempt(0x1p20) == .done)
    #expect(LeafSet.read(1, of: sum) == [0x1p20])
    #expect(try attempt(0x1p40) == .again)
    #expect {
      try attempt(0x1p60)
    } throws: { error in
      "\(error)".contains("trainable tensor 1 did not fit its window 2^49")
    }
    // Windows of a checkpoint are not made from the step's maxima: it may be repeated.
    try sum.restore(exponents: [8, 8])
    #expect(try attempt(0x1p60) == .again)
  }

  @Test func windowRule() {
    #expect(GradientWindow.leafBits(leafCount: 0) == 6)
    #expect(GradientWindow.leafBits(leafCount: 64) == 6)
    #expect(GradientWindow.leafBits(leafCount: 65) == 7)
    #expect(GradientWindow.leafBits(leafCount: 1 << 15) == 15)
    #expect(GradientWindow.shift(exponent: 8, leafBits: 6) == 48)
    #expect(GradientWindow.shift(exponent: -104, leafBits: 15) == 149)
    #expect(GradientWindow.exponent(ofMaximum: -1) == 8)
    #expect(GradientWindow.exponent(ofMaximum: 127) == 128)
    #expect(GradientWindow.exponent(ofMaximum: -149) == -104)
    for (logarithm, bracket) in [(9, 0), (2, 0), (1, 1), (-6, 1), (-7, 2), (-14, 2), (-15, 3), (-149, 3)] {
      var counts = WindowCounts()
      for _ in 0..<(1 << 15) { counts.count(logarithm: Int32(logarithm), exponent: 10) }
      #expect(counts.highestBracket == bracket, "2^\(logarithm)")
      #expect(counts.next(after: 10) == [18, 10, 2, 10][bracket])
      #expect(counts.isTooCoarse(exponent: 10) == (bracket == 3))
    }
    var lowest = WindowCounts()
    lowest.count(logarithm: -149, exponent: GradientWindow.lowest)
    #expect(!lowest.isTooCoarse(exponent: GradientWindow.lowest))
  }

  // MARK: Control words

  @Test func fixedPointRoundsToTheUnit() {
    #expect(FixedPoint.encode(1) == 1 << 28)
    #expect(FixedPoint.encode(-0.5) == -(1 << 27))
    #expect(FixedPoint.encode(0x1.8p-28) == 2)
    #expect(FixedPoint.encode(0x1p-29) == 0)
    for bad in [Double.nan, .infinity, -.infinity, 0x1p34, -0x1p34] { #expect(FixedPoint.encode(bad) == nil) }
    #expect(FixedPoint.encode(4096, limitBits: 12) == nil)
    #expect(FixedPoint.decode(FixedPoint.encode(-123.456) ?? 0).distance(to: -123.456).magnitude <= 0x1p-29)
  }

  @Test func controlWordsAreAdded() {
    let sums = [ExactSum(counts: [1], controlCount: 2), ExactSum(counts: [1], controlCount: 2)]
    for (rank, sum) in sums.enumerated() {
      sum.begin(leafCount: 2)
      sum.addControl(0, Int64(rank) - 5)
      sum.addControl(1, rounding: [0.25])
      sum.addControl(1, rounding: [0.5])
      sum.seal()
    }
    LeafSet.exchange(sums, order: [1, 0])
    #expect(sums.map { $0.finish() } == [.done, .done])
    #expect(sums[0].control(0) == -9 && sums[1].controlDouble(1) == 1.5)
    sums[0].begin(leafCount: 2)
    sums[0].addControl(1, rounding: [.nan])
    sums[0].seal()
    #expect(sums[0].finish() == .nonFinite)
  }
}
