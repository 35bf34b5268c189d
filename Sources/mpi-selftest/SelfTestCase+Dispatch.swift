import Collectives
import Foundation
import Synchronization

/// What the dispatch cases take from their argument, such as `threads=2,leaves=13`.
struct DispatchOptions {
  private let values: [String: Int]

  init(_ argument: String?) {
    let pairs = (argument ?? "").split(separator: ",").compactMap { pair -> (String, Int)? in
      let parts = pair.split(separator: "=")
      guard parts.count == 2, let value = Int(parts[1]) else { return nil }
      return (String(parts[0]), value)
    }
    values = Dictionary(pairs) { $1 }
  }

  func callAsFunction(_ name: String, _ standard: Int) -> Int { values[name] ?? standard }
}

extension SelfTestCase {
  /// Adds random leaves handed out dynamically, three rounds. Prints who computed what in the first, and a
  /// digest of all sums, which is the same for any number of ranks and threads. ARGUMENT: leaves (13),
  /// threads (2), sleep (200 microseconds of a leaf at most).
  @MainActor
  static func dispatch(_ world: World, _ argument: String?) throws {
    let options = DispatchOptions(argument)
    let (leafCount, longestSleep) = (options("leaves", 13), options("sleep", 200))
    let dispatch = LeafDispatch(world: world, workers: try LeafPool(threadCount: options("threads", 2)))
    let sum = ExactSum(counts: [33_001], controlCount: 1)
    var digest = Digest()
    for round in 0..<3 {
      sum.begin(leafCount: leafCount)
      let ending = try dispatch.run(order: Array(0..<leafCount)) { _, leaf in
        let seed = UInt64(round * 1000 + leaf)
        usleep(UInt32((leaf * 7919 + round * 104_729) % max(1, longestSleep)))
        add([randomGradient(seed: seed, count: 33_001, magnitude: leaf % 5)], to: sum)
        sum.addControl(0, 1)
      }
      try expect(ending == .complete, "the round was stopped", world)
      try expect(try sum.reduce(over: world) == .done, "the leaves of a round did not fit", world)
      try expect(sum.control(0) == Int64(leafCount), "\(sum.control(0)) leaves computed", world)
      digest.add(gradient: sum)
      let all = try world.gatherAtAll(text(of: dispatch.leavesComputedHere))
      if world.isFirst && round == 0 {
        for (rank, leaves) in all.enumerated() { print("rank \(rank): \(leaves)") }
      }
    }
    if world.isFirst { print("dispatch \(String(digest.state, radix: 16))") }
  }

  private static func text(of leaves: [Int]) -> String {
    leaves.map { String($0) }.joined(separator: " ")
  }

  /// Leaves that take 20 ms on every rank and three times as long on the last: prints the time with dynamic
  /// and with static assignment, each over the ideal (all work ÷ the sum of speeds). ARGUMENT: leaves (32),
  /// microseconds (20000) of a leaf, slowness (3).
  @MainActor
  static func dispatchWithSlowRank(_ world: World, _ argument: String?) throws {
    let options = DispatchOptions(argument)
    let (leafCount, slowness) = (options("leaves", 32), options("slowness", 3))
    let isSlow = world.rank == world.size - 1
    let leafTime = UInt32(options("microseconds", 20_000) * (isSlow ? slowness : 1))
    let pool = try LeafPool(threadCount: 1)
    let dispatch = LeafDispatch(world: world, workers: pool)
    // The first round opens the channel.
    _ = try dispatch.run(order: []) { _, _ in }
    let dynamic = try seconds(world) {
      _ = try dispatch.run(order: Array(0..<leafCount)) { _, _ in usleep(leafTime) }
    }
    let counts = try world.gatherAtAll("\(dispatch.leavesComputedHere.count)")
    let fixed = try seconds(world) {
      pool.run(count: (0..<leafCount).count { $0 % world.size == world.rank }) { _, _ in usleep(leafTime) }
      try pool.wait()
    }
    let speed = Double(world.size - 1) + 1 / Double(slowness)
    let ideal = Double(leafCount) * Double(options("microseconds", 20_000)) / 1e6 / speed
    if world.isFirst {
      print("leaves \(counts.joined(separator: " "))")
      print(String(format: "dynamic %.3f static %.3f of the ideal", dynamic / ideal, fixed / ideal))
    }
  }

  @MainActor
  private static func seconds(_ world: World, _ work: () throws -> Void) throws -> Double {
    try world.barrier()
    let start = DispatchTime.now().uptimeNanoseconds
    try work()
    try world.barrier()
    return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
  }

  /// Rank `rank` (1) is asked to stop once it has got `after` (2) leaves of `leaves` (40), of 2 ms each; with
  /// after=-1 when all have been handed out. Prints the endings and whether leaves were left out; then that
  /// the next round is complete.
  @MainActor
  static func dispatchWithStop(_ world: World, _ argument: String?) throws {
    let options = DispatchOptions(argument)
    let (leafCount, after) = (options("leaves", 40), options("after", 2))
    let isAsked = world.rank == options("rank", 1) % world.size
    let dispatch = LeafDispatch(world: world, workers: try LeafPool(threadCount: options("threads", 1)))
    let isLastLeafBegun = Atomic<Bool>(false)
    let ending = try dispatch.run(
      order: Array(0..<leafCount),
      shouldStop: {
        guard after >= 0 else { return isLastLeafBegun.load(ordering: .relaxed) }
        return isAsked && dispatch.handedOutCount >= after
      }
    ) { _, leaf in
      if leaf == leafCount - 1 { isLastLeafBegun.store(true, ordering: .relaxed) }
      usleep(leaf == leafCount - 1 ? 30_000 : 2000)
    }
    let count = try world.reduce(Int64(dispatch.leavesComputedHere.count), .sum)
    let endings = try world.gatherAtAll("\(ending)")
    let next = try dispatch.run(order: Array(0..<leafCount)) { _, _ in }
    let nextCount = try world.reduce(Int64(dispatch.leavesComputedHere.count), .sum)
    try expect(next == .complete && nextCount == leafCount, "the next round: \(next), \(nextCount)", world)
    if world.isFirst {
      print(endings.joined(separator: " ") + (count < leafCount ? ", leaves left out" : ", all leaves"))
    }
  }

  /// A leaf on rank ARGUMENT throws in mid-round; the others have hours of leaves left.
  @MainActor
  static func dispatchWithError(_ world: World, _ argument: String?) throws {
    let dispatch = LeafDispatch(world: world, workers: try LeafPool(threadCount: 2))
    let failing = Int(argument ?? "") ?? 0
    let count = Atomic<Int>(0)
    let rank = world.rank
    _ = try dispatch.run(order: Array(0..<1_000_000)) { _, _ in
      if count.add(1, ordering: .relaxed).newValue == 5, rank == failing {
        throw SelfTestError.deliberate(rank: rank)
      }
      usleep(10_000)
    }
    if world.isFirst { print("not reached") }
  }

  /// Many short rounds of any size with stops at any moment: all ranks end each round alike, and each leaf of
  /// a complete one is computed once. ARGUMENT: rounds (500), threads (2; one more on odd ranks).
  @MainActor
  static func dispatchStorm(_ world: World, _ argument: String?) throws {
    let options = DispatchOptions(argument)
    let threads = options("threads", 2) + world.rank % 2
    let dispatch = LeafDispatch(world: world, workers: try LeafPool(threadCount: threads))
    var generator = CounterSequence(state: 1)
    var stopped = 0
    for round in 0..<options("rounds", 500) {
      // The same on every rank.
      let leafCount = Int(generator.next(below: 40))
      let stopsAfter = generator.next(below: 3) == 0 ? Int(generator.next(below: 20)) : Int.max
      let stoppingRank = Int(generator.next(below: UInt64(world.size)))
      let seen = Mutex([Int64](repeating: 0, count: leafCount + 1))
      let ending = try dispatch.run(
        order: Array(0..<leafCount),
        shouldStop: { world.rank == stoppingRank && dispatch.handedOutCount >= stopsAfter }
      ) { _, leaf in
        seen.withLock { $0[leaf] += 1 }
        usleep(UInt32((leaf * 31 + round * 17) % 100))
      }
      if ending == .stopped { stopped += 1 }
      var words = seen.withLock { $0 }
      words[leafCount] = ending == .stopped ? 1 : 0
      try world.reduce(&words, .sum)
      let isAgreed = words[leafCount] == 0 || words[leafCount] == Int64(world.size)
      try expect(isAgreed, "round \(round): \(words[leafCount]) of \(world.size) ranks stopped", world)
      let most: Int64 = words.dropLast().max() ?? 1
      let least: Int64 = words.dropLast().min() ?? 1
      let isRight = most <= 1 && (ending == .stopped || least == 1)
      try expect(isRight, "round \(round): leaves computed \(words.dropLast()) times", world)
    }
    if world.isFirst { print(stopped > 0 ? "storm ok" : "storm without a stop") }
  }
}

/// A small random sequence, the same on every rank.
private struct CounterSequence {
  var state: UInt64
  mutating func next(below bound: UInt64) -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state >> 33) % bound
  }
}

extension Digest {
  /// Takes in every element of the only tensor of `sum`, and its window.
  fileprivate mutating func add(gradient sum: ExactSum) {
    var gradient = [Float](repeating: 0, count: sum.counts[0])
    gradient.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { sum.read(0, into: base) }
    }
    for value in gradient { add(UInt64(value.bitPattern)) }
    add(UInt64(bitPattern: Int64(sum.exponents[0])))
  }
}
