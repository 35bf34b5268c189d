import Foundation
import Synchronization
import Testing

@testable import Collectives

@MainActor
@Suite(.serialized)
struct LeafPoolTests {
  struct Deliberate: Error, Equatable { let item: Int }

  @Test(arguments: [1, 2, 5])
  func everyItemIsDoneOnce(threads: Int) throws {
    let pool = try LeafPool(threadCount: threads)
    let seen = Mutex([Int](repeating: 0, count: 1000))
    for _ in 0..<20 {
      pool.run(count: 1000) { worker, item in
        precondition((0..<threads).contains(worker))
        seen.withLock { $0[item] += 1 }
      }
      try pool.wait()
      #expect(pool.completedCount == 1000)
    }
    #expect(seen.withLock { $0 } == [Int](repeating: 20, count: 1000))
  }

  @Test func noItemsEndAtOnce() throws {
    let pool = try LeafPool(threadCount: 2)
    pool.run(count: 0) { _, _ in throw Deliberate(item: 0) }
    #expect(try pool.poll())
    try pool.wait()
    #expect(pool.completedCount == 0)
  }

  @Test func startReturnsBeforeTheItemsAreDone() throws {
    let pool = try LeafPool(threadCount: 1)
    let gate = DispatchSemaphore(value: 0)
    pool.run(count: 2) { _, _ in gate.wait() }
    #expect(try !pool.poll())
    gate.signal()
    gate.signal()
    var polls = 0
    try pool.wait { polls += 1 }
    #expect(try pool.poll())
  }

  @Test func pollIsCalledWhileWaiting() throws {
    let pool = try LeafPool(threadCount: 2)
    pool.run(count: 2) { _, _ in usleep(100_000) }
    var polls = 0
    try pool.wait(intervalSeconds: 0.002) { polls += 1 }
    #expect(polls >= 5)
  }

  @Test func firstErrorEndsTheRoundAndIsThrownOnce() throws {
    let pool = try LeafPool(threadCount: 2)
    let started = Atomic<Int>(0)
    pool.run(count: 100_000) { _, item in
      started.wrappingAdd(1, ordering: .relaxed)
      usleep(50)
      if item == 10 { throw Deliberate(item: item) }
    }
    #expect(throws: Deliberate(item: 10)) { try pool.wait() }
    #expect(started.load(ordering: .relaxed) < 100_000)
    #expect(try pool.poll())
    pool.run(count: 3) { _, _ in }
    try pool.wait()
    #expect(pool.completedCount == 3)
  }

  @Test func errorOfThePollStopsTheWorkers() throws {
    let pool = try LeafPool(threadCount: 2)
    let done = Atomic<Int>(0)
    pool.run(count: 100_000) { _, _ in
      usleep(100)
      done.wrappingAdd(1, ordering: .relaxed)
    }
    #expect(throws: Deliberate(item: -1)) { try pool.wait { throw Deliberate(item: -1) } }
    // Nobody works on after the wait has ended.
    let count = done.load(ordering: .relaxed)
    usleep(20_000)
    #expect(done.load(ordering: .relaxed) == count)
    #expect(count < 100_000)
  }

  @Test func abandonedRoundsEndEarly() throws {
    let pool = try LeafPool(threadCount: 2)
    pool.run(count: 100_000) { _, _ in usleep(100) }
    pool.abandon()
    try pool.wait()
    #expect(pool.completedCount < 100_000)
  }

  @Test func finishedRoundsLetGoOfTheirBody() throws {
    final class Witness: Sendable {}
    let pool = try LeafPool(threadCount: 2)
    weak var seen: Witness?
    do {
      let witness = Witness()
      seen = witness
      pool.run(count: 2) { [witness] _, _ in _ = witness }
      try pool.wait()
    }
    let deadline = Date(timeIntervalSinceNow: 5)
    while seen != nil && Date() < deadline { usleep(1000) }
    #expect(seen == nil)
  }

  @Test func workersHaveRoomOnTheirStacks() throws {
    let pool = try LeafPool(threadCount: 1)
    let depth = Mutex(0)
    // 10 MiB of frames at least: more than the usual 8.
    pool.run(count: 1) { _, _ in
      let reached = LeafPoolTests.descend(10 * 1024)
      depth.withLock { $0 = reached }
    }
    try pool.wait()
    #expect(depth.withLock { $0 } == 10 * 1024)
  }

  /// Calls itself, each time with 1 KiB on the stack.
  nonisolated private static func descend(_ levels: Int) -> Int {
    if levels == 0 { return 0 }
    return withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 16) { buffer in
      buffer[0] = 1
      return descend(levels - 1) + Int(buffer[0])
    }
  }

  @Test func poolsCanBeMadeAndDroppedManyTimes() throws {
    for _ in 0..<200 {
      let pool = try LeafPool(threadCount: 2)
      pool.run(count: 2) { _, _ in }
      try pool.wait()
    }
    let deadline = Date(timeIntervalSinceNow: 10)
    var threads = Int.max
    while threads > 60 && Date() < deadline {
      threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
      usleep(10_000)
    }
    #expect(threads <= 60)
  }
}
