import Collectives
import Diagnostics
import Foundation

/// One distributed case: what it does is the same job whatever the number of ranks, or is meant to fail.
struct SelfTestCase {
  let number: Int
  let name: String
  let summary: String
  let body: @MainActor (World, String?) throws -> Void

  private init(
    _ number: Int, _ name: String, _ summary: String,
    _ body: @escaping @MainActor (World, String?) throws -> Void
  ) {
    self.number = number
    self.name = name
    self.summary = summary
    self.body = body
  }

  @MainActor static let all: [SelfTestCase] = [
    .init(1, "place", "ranks, hosts, local ranks", place),
    .init(2, "broadcast", "bytes, text and nothing from rank 0", broadcast),
    .init(3, "gather", "text of each rank, on every rank", gather),
    .init(4, "integers", "integer sum, maximum, minimum; double maximum", integers),
    .init(5, "reduce", "exact sum of random leaves over several steps", reduceLeaves),
    .init(6, "throw-on-rank", "rank ARGUMENT throws, the others wait", throwOnRank),
    .init(7, "throw-everywhere", "all ranks meet the same error", throwEverywhere),
    .init(8, "late", "rank 0 is late; the others poll, and hardly use the CPU", late),
    .init(9, "binding", "the warning about CPU binding, ARGUMENT threads", binding),
    .init(10, "poll-throws", "what onPoll throws ends the wait", pollThrows),
    .init(11, "dispatch", "exact sum of leaves handed out to whoever is free", dispatch),
    .init(12, "dispatch-slow", "the last rank is slow: time over the ideal", dispatchWithSlowRank),
    .init(13, "dispatch-stop", "a rank is asked to stop in mid-round", dispatchWithStop),
    .init(14, "dispatch-throw", "a leaf on rank ARGUMENT throws", dispatchWithError),
    .init(15, "dispatch-storm", "many short rounds, with stops at any moment", dispatchStorm),
    .init(20, "stall", "what the watchdog ends or lets live: SCENARIO:VICTIM:TIMEOUT", StallScenario.run),
    .init(21, "watchdog-cost", "steps without and with the watchdog, its CPU time", watchdogCost),
  ]

  private static func printFirst(_ world: World, _ text: String) {
    if world.isFirst { print(text) }
  }

  @MainActor private static func place(_ world: World, _: String?) throws {
    let lines = try world.gatherAtAll(
      "rank \(world.rank) of \(world.size), local \(world.localRank) of \(world.localSize), "
        + "named \(world.hostName.isEmpty ? "no" : "yes")")
    printFirst(world, lines.joined(separator: "\n"))
  }

  @MainActor private static func broadcast(_ world: World, _: String?) throws {
    let payload = (0..<100_003).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
    let bytes = try world.broadcast(world.isFirst ? payload : [1, 2, 3])
    let text = try world.broadcast(world.isFirst ? "größer" : "")
    let nothing = try world.broadcast(world.isFirst ? Data() : Data([9]))
    try expect(bytes == payload && text == "größer" && nothing.isEmpty, "broadcast", world)
    let count = try world.reduce(1, .sum)
    printFirst(world, "broadcast ok on \(count)")
  }

  @MainActor private static func gather(_ world: World, _: String?) throws {
    // Rank r sends r times its letter: rank 0 an empty text.
    let texts = try world.gatherAtAll(String(repeating: "abcdefgh", count: world.rank))
    let expected = (0..<world.size).map { String(repeating: "abcdefgh", count: $0) }
    try expect(texts == expected, "gather: \(texts)", world)
    let all = try world.gatherAtAll(texts.joined(separator: ","))
    printFirst(world, Set(all).sorted().joined(separator: "\n"))
  }

  @MainActor private static func integers(_ world: World, _: String?) throws {
    let rank = Int64(world.rank)
    let size = Int64(world.size)
    var sums = (0..<1000).map { Int64($0) << 40 + rank }
    try world.reduce(&sums, .sum)
    try expect(sums[3] == size * (3 << 40) + size * (size - 1) / 2, "sum \(sums[3])", world)
    try expect(try world.reduce(-rank, .maximum) == 0, "maximum", world)
    try expect(try world.reduce(-rank, .minimum) == 1 - size, "minimum", world)
    var doubles = [Double(rank) * 0.5, -1.5 - Double(rank)]
    try world.reduce(&doubles, .maximum)
    try expect(doubles == [Double(size - 1) * 0.5, -1.5], "double maximum \(doubles)", world)
    var none: [Int64] = []
    try world.reduce(&none, .sum)
    printFirst(world, "integers ok")
  }

  @MainActor private static func throwOnRank(_ world: World, _ argument: String?) throws {
    if world.rank == Int(argument ?? "") ?? 0 { throw SelfTestError.deliberate(rank: world.rank) }
    try world.barrier()
    printFirst(world, "not reached")
  }

  @MainActor private static func throwEverywhere(_ world: World, _: String?) throws {
    throw SelfTestError.deliberate(rank: -1)
  }

  @MainActor private static func late(_ world: World, _: String?) throws {
    var polls = 0
    world.onPoll = { polls += 1 }
    let before = clock()
    if world.isFirst { usleep(400_000) }
    try world.barrier()
    let share = Double(clock() - before) / Double(CLOCKS_PER_SEC) / 0.4
    world.onPoll = {}
    let calm = share < 0.3 && (world.isFirst || polls > 100)
    try expect(calm, "polled \(polls) times, used \(share) of a core", world)
    printFirst(world, "late ok")
  }

  @MainActor private static func binding(_ world: World, _ argument: String?) throws {
    let warning = try CPUAffinity.bindingWarning(threads: Int(argument ?? "1") ?? 1, world: world)
    let all = try world.gatherAtAll(warning ?? "no warning")
    printFirst(world, all.enumerated().map { "rank \($0): \($1)" }.joined(separator: "\n"))
  }

  @MainActor private static func pollThrows(_ world: World, _: String?) throws {
    guard !world.isFirst else {
      usleep(5_000_000)
      return
    }
    world.onPoll = { throw SelfTestError.deliberate(rank: world.rank) }
    try world.barrier()
  }

  @MainActor static func expect(_ condition: Bool, _ what: String, _ world: World) throws {
    if !condition { throw SelfTestError.unexpected(what: what, rank: world.rank) }
  }
}

/// What a case reports.
enum SelfTestError: DescribedError {
  case unexpected(what: String, rank: Int)
  case deliberate(rank: Int)

  var description: String {
    switch self {
    case .unexpected(let what, let rank):
      "Self-test: rank \(rank) found something else than expected: \(what)."
    case .deliberate(let rank): rank < 0 ? "thrown on purpose by all" : "thrown on purpose by rank \(rank)"
    }
  }
}
