import Foundation

@testable import Collectives

/// The gradients of a step's leaves, and ways to add them with several sums as if these were ranks.
struct LeafSet {
  /// [leaf][tensor][entry]
  var leaves: [[[Float]]]
  var counts: [Int] { leaves.first?.map(\.count) ?? [] }

  /// Adds leaf by leaf what `assignment` gives to each rank, reduces by adding words in the order of `ranks`,
  /// repeats as told; gives the outcome, the bits of the sums, and how often the leaves were added.
  func reduce(
    with sums: [ExactSum], assignment: [[Int]], order: [Int]? = nil, scaleExponent: Int = 0
  ) -> (outcome: ExactSum.Outcome, bits: [[UInt32]], attempts: Int) {
    for attempt in 1...3 {
      for (sum, mine) in zip(sums, assignment) {
        sum.begin(leafCount: leaves.count, scaleExponent: scaleExponent)
        for leaf in mine { LeafSet.add(leaves[leaf], to: sum) }
        sum.seal()
      }
      LeafSet.exchange(sums, order: order ?? Array(sums.indices))
      if sums[0].verdict() == .again {
        LeafSet.exchangeMaxima(sums)
        continue
      }
      let outcome = sums.map { $0.finish() }[0]
      return (outcome, outcome == .done ? bits(of: sums[sums.count - 1]) : [], attempt)
    }
    return (.again, [], 3)
  }

  /// Adds the leaves on one rank.
  func reduce(with sum: ExactSum) -> (outcome: ExactSum.Outcome, values: [[Float]], attempts: Int) {
    let result = reduce(with: [sum], assignment: [Array(leaves.indices)])
    return (result.outcome, result.bits.map { $0.map { Float(bitPattern: $0) } }, result.attempts)
  }

  private func bits(of sum: ExactSum) -> [[UInt32]] {
    counts.indices.map { LeafSet.read($0, of: sum).map(\.bitPattern) }
  }

  static func read(_ tensor: Int, of sum: ExactSum) -> [Float] {
    var values = [Float](repeating: .nan, count: sum.counts[tensor])
    values.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { sum.read(tensor, into: base) }
    }
    return values
  }

  static func add(_ leaf: [[Float]], to sum: ExactSum) {
    let all = leaf.flatMap { $0 }
    all.withUnsafeBufferPointer { buffer in
      var place = 0
      sum.add(
        leaf: leaf.map { gradient in
          defer { place += gradient.count }
          return buffer.baseAddress.map { $0 + place }
        })
    }
  }

  /// What MPI_SUM does: every rank gets the sums.
  static func exchange(_ sums: [ExactSum], order: [Int]) {
    var total = [Int64](repeating: 0, count: sums[0].message.count)
    for rank in order {
      for (index, word) in sums[rank].message.enumerated() { total[index] &+= word }
    }
    for sum in sums { _ = sum.message.update(from: total) }
  }

  /// What MPI_MAX does with the maxima.
  static func exchangeMaxima(_ sums: [ExactSum]) {
    let all = sums.map { $0.largestLogarithms() }
    let largest = all[0].indices.map { tensor in all.map { $0[tensor] }.max() ?? 0 }
    for sum in sums { sum.adopt(logarithms: largest) }
  }

  /// The sum of each entry and the largest magnitude of each tensor, in Double.
  func exactly() -> (sums: [[Double]], maxima: [Double]) {
    var sums = counts.map { [Double](repeating: 0, count: $0) }
    var maxima = counts.map { _ in 0.0 }
    for leaf in leaves {
      for (tensor, gradient) in leaf.enumerated() {
        for (index, value) in gradient.enumerated() {
          sums[tensor][index] += Double(value)
          maxima[tensor] = max(maxima[tensor], Double(value.magnitude))
        }
      }
    }
    return (sums, maxima)
  }
}

/// A small generator with a fixed sequence.
struct FixedGenerator: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }

  /// Between -1 and 1 times 2^exponent.
  mutating func float(_ exponent: Int = 0) -> Float {
    Float.random(in: -1...1, using: &self) * Float(sign: .plus, exponent: exponent, significand: 1)
  }
}
