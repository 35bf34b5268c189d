import Collectives
import Foundation
import Synchronization

extension SelfTestCase {
  /// Sums random leaves over six steps, whose size jumps so that windows must be remade, with two workers per
  /// rank, and prints a digest of all sums: the same line for any number of ranks. ARGUMENT is the number of
  /// leaves (13).
  @MainActor
  static func reduceLeaves(_ world: World, _ argument: String?) throws {
    let leafCount = Int(argument ?? "13") ?? 13
    let counts = [1, 33_001, 100, 17]
    let sum = ExactSum(counts: counts, controlCount: 2)
    let pool = try LeafPool(threadCount: 2)
    var digest = Digest()
    for (step, magnitude) in [0, -30, 10, 11, 0, 3].enumerated() {
      let repeats = try runStep(
        step, leafCount: leafCount, magnitude: magnitude, sum: sum, pool: pool, world: world)
      digest.add(UInt64(repeats))
      for tensor in counts.indices {
        var gradient = [Float](repeating: 0, count: counts[tensor])
        gradient.withUnsafeMutableBufferPointer { buffer in
          if let base = buffer.baseAddress { sum.read(tensor, into: base) }
        }
        for value in gradient { digest.add(UInt64(value.bitPattern)) }
      }
      digest.add(UInt64(bitPattern: sum.control(0)))
      digest.add(sum.controlDouble(1).bitPattern)
      for exponent in sum.exponents { digest.add(UInt64(bitPattern: Int64(exponent))) }
    }
    let all = try world.gatherAtAll("reduce \(String(digest.state, radix: 16))")
    if world.isFirst { print(Set(all).sorted().joined(separator: "\n")) }
  }

  /// Runs one step; gives the number of times its leaves were computed.
  @MainActor
  private static func runStep(
    _ step: Int, leafCount: Int, magnitude: Int, sum: ExactSum, pool: LeafPool, world: World
  ) throws -> Int {
    let mine = (0..<leafCount).filter { $0 % world.size == world.rank }
    let counts = sum.counts
    for attempt in 1...3 {
      sum.begin(leafCount: leafCount)
      pool.run(count: mine.count) { _, item in
        let gradients = counts.enumerated().map { tensor, count in
          let seed = UInt64((step * 1000 + mine[item]) * 10 + tensor)
          return randomGradient(seed: seed, count: count, magnitude: magnitude)
        }
        add(gradients, to: sum)
        sum.addControl(0, Int64(mine[item]))
        sum.addControl(1, rounding: [Double(mine[item]) / 3])
      }
      try pool.wait()
      if try sum.reduce(over: world) == .done { return attempt }
    }
    throw SelfTestError.unexpected(what: "step \(step) never fitted", rank: world.rank)
  }

  static func add(_ gradients: [[Float]], to sum: ExactSum) {
    let pointers = gradients.map { gradient in
      let copy = UnsafeMutablePointer<Float>.allocate(capacity: gradient.count)
      copy.initialize(from: gradient, count: gradient.count)
      return copy
    }
    defer { pointers.forEach { $0.deallocate() } }
    sum.add(leaf: pointers.map { UnsafePointer($0) })
  }

  static func randomGradient(seed: UInt64, count: Int, magnitude: Int) -> [Float] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
    let scale = Float(sign: .plus, exponent: magnitude - 40, significand: 1)
    return (0..<count).map { _ in
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Float(Int64(bitPattern: state) >> 24) * scale
    }
  }
}

/// FNV-1a with 64 bits, over words.
struct Digest {
  private(set) var state: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func add(_ word: UInt64) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      state = (state ^ ((word >> shift) & 0xFF)) &* 0x100_0000_01b3
    }
  }
}
