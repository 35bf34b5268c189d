import Foundation
import Synchronization
import Testing

@testable import Collectives

/// The parts of the dispatch, and a dispatch without other ranks.
@MainActor
@Suite(.serialized)
struct LeafDispatchTests {
  struct Deliberate: Error, Equatable { let leaf: Int }

  @Test func firstLeavesGoToRanksInTurnWhileTheyHaveWorkers() {
    #expect(LeafDispatch.hands(threadCounts: [1, 1, 1], leafCount: 10) == [0, 1, 2])
    #expect(LeafDispatch.hands(threadCounts: [2, 1, 3], leafCount: 10) == [0, 1, 2, 0, 2, 2])
    #expect(LeafDispatch.hands(threadCounts: [2, 1, 3], leafCount: 4) == [0, 1, 2, 0])
    #expect(LeafDispatch.hands(threadCounts: [4, 4], leafCount: 1) == [0])
    #expect(LeafDispatch.hands(threadCounts: [4, 4], leafCount: 0).isEmpty)
  }

  @Test func pausesBetweenLooksFollowLeafTimeAndHands() {
    let pause = LeafDispatch.servingPauseMicroseconds
    #expect(pause(0, 1) == 200)
    #expect(pause(1000, 1) == 2000)
    // The loss c / p + n p / (2 L) is no smaller a little to either side.
    for (seconds, hands) in [(0.05, 1), (0.1, 3), (0.2, 15)] {
      let best = Double(pause(seconds, hands)) / 1e6
      func loss(_ pause: Double) -> Double { 15e-6 / pause + Double(hands) * pause / (2 * seconds) }
      #expect(loss(best) <= loss(best * 1.1) && loss(best) <= loss(best / 1.1))
    }
  }

  // MARK: Alone

  @Test(arguments: [1, 2, 5], [0, 1, 3, 500])
  func everyLeafIsComputedOnceInOrder(threads: Int, leafCount: Int) throws {
    let dispatch = LeafDispatch(world: nil, workers: try LeafPool(threadCount: threads))
    for _ in 0..<3 {
      let begun = Mutex<[Int]>([])
      let order = Array((0..<leafCount).reversed())
      let ending = try dispatch.run(order: order) { _, leaf in begun.withLock { $0.append(leaf) } }
      #expect(ending == .complete)
      #expect(dispatch.leavesComputedHere == Array(0..<leafCount))
      #expect(dispatch.handedOutCount == leafCount)
      let leaves = begun.withLock { $0 }
      #expect(leaves.sorted() == Array(0..<leafCount))
      if threads == 1 { #expect(leaves == order) }
    }
  }

  @Test(arguments: [1, 3])
  func stopFinishesLeavesUnderWayAndLeavesOutTheRest(threads: Int) throws {
    let dispatch = LeafDispatch(world: nil, workers: try LeafPool(threadCount: threads))
    let begun = Atomic<Int>(0)
    let ended = Atomic<Int>(0)
    let ending = try dispatch.run(
      order: Array(0..<100_000), shouldStop: { ended.load(ordering: .relaxed) >= 5 }
    ) { _, _ in
      begun.wrappingAdd(1, ordering: .relaxed)
      usleep(500)
      ended.wrappingAdd(1, ordering: .relaxed)
    }
    #expect(ending == .stopped)
    let count = ended.load(ordering: .relaxed)
    #expect(count == begun.load(ordering: .relaxed))
    #expect(count >= 5 && count < 10_000)
    #expect(dispatch.leavesComputedHere.count == count)
    // The next round is whole again.
    #expect(try dispatch.run(order: [0, 1, 2]) { _, _ in } == .complete)
    #expect(dispatch.leavesComputedHere == [0, 1, 2])
  }

  @Test func stopThatComesAfterTheLastLeafWasTakenIsTooLate() throws {
    let dispatch = LeafDispatch(world: nil, workers: try LeafPool(threadCount: 2))
    let begun = Atomic<Int>(0)
    let ending = try dispatch.run(
      order: [0, 1], shouldStop: { begun.load(ordering: .relaxed) == 2 }
    ) { _, _ in
      begun.wrappingAdd(1, ordering: .relaxed)
      usleep(50_000)
    }
    #expect(ending == .complete)
  }

  @Test func errorOfALeafEndsTheRoundAndIsThrown() throws {
    let dispatch = LeafDispatch(world: nil, workers: try LeafPool(threadCount: 2))
    let begun = Atomic<Int>(0)
    #expect(throws: Deliberate(leaf: 7)) {
      try dispatch.run(order: Array(0..<100_000)) { _, leaf in
        begun.wrappingAdd(1, ordering: .relaxed)
        usleep(50)
        if leaf == 7 { throw Deliberate(leaf: leaf) }
      }
    }
    #expect(begun.load(ordering: .relaxed) < 100_000)
    #expect(try dispatch.run(order: [4]) { _, _ in } == .complete)
  }

  @Test func errorOfThePollEndsTheRoundAndIsThrown() throws {
    let dispatch = LeafDispatch(world: nil, workers: try LeafPool(threadCount: 2))
    let begun = Atomic<Int>(0)
    #expect(throws: Deliberate(leaf: -1)) {
      try dispatch.run(order: Array(0..<100_000), onPoll: { throw Deliberate(leaf: -1) }) { _, _ in
        begun.wrappingAdd(1, ordering: .relaxed)
        usleep(100)
      }
    }
    #expect(begun.load(ordering: .relaxed) < 100_000)
  }

  // MARK: Ledger and mailbox

  @Test func ledgerGivesEachLeafOnceAndSettlesTheEnding() {
    let ledger = LeafLedger(own: [5, 6], shared: [7, 8, 9, 10], handedOut: 3)
    #expect(ledger.take(atMost: 1) == [7])
    #expect(ledger.next(worker: 0) == 5)
    #expect(ledger.next(worker: 1) == 6)
    #expect(ledger.next(worker: 0) == 8)
    #expect(ledger.handedOut == 7)
    #expect(ledger.take(atMost: 5) == [9, 10])
    #expect(ledger.take(atMost: 1).isEmpty && ledger.next(worker: 0) == nil)
    // All are out: whoever asked has been told "complete", so must everybody be.
    ledger.stop()
    #expect(ledger.ending == .complete)
    #expect(ledger.taken == [5, 6, 8])
    #expect(ledger.handedOut == 9)
  }

  @Test func ledgerThatIsStoppedInTimeGivesNothingMore() {
    let ledger = LeafLedger(own: [0], shared: [1, 2])
    ledger.stop()
    #expect(ledger.next(worker: 0) == nil && ledger.take(atMost: 2).isEmpty)
    #expect(ledger.ending == .stopped && !ledger.isClosed)
  }

  @Test func mailboxCountsHungryWorkersOnceAndFeedsThem() throws {
    let mailbox = LeafMailbox(leaves: [3], isFinished: false)
    let pool = try LeafPool(threadCount: 3)
    let gate = DispatchSemaphore(value: 0)
    pool.run(from: mailbox) { _, leaf in if leaf == 3 { gate.wait() } }
    // Two of three workers wait; the first may be slow to take leaf 3.
    while mailbox.hungryWorkers(waitingAtMostSeconds: 1) < 2 {}
    #expect(mailbox.hungryWorkers(waitingAtMostSeconds: 1) == 2)
    mailbox.put([4])
    mailbox.put([5, 6])
    mailbox.finish()
    gate.signal()
    try pool.wait()
    #expect(mailbox.taken.sorted() == [3, 4, 5, 6])
    #expect(mailbox.hungryWorkers(waitingAtMostSeconds: 1) == 0)
  }

  /// A worker that has been given a leaf and has not woken up yet must not get a second one.
  @Test func workersAreNotHungryOnceFed() throws {
    let mailbox = LeafMailbox(leaves: [], isFinished: false)
    let pool = try LeafPool(threadCount: 1)
    let gate = DispatchSemaphore(value: 0)
    pool.run(from: mailbox) { _, _ in gate.wait() }
    var hungry = 0
    for leaf in 0..<500 {
      while mailbox.hungryWorkers(waitingAtMostSeconds: 1) == 0 {}
      mailbox.put([leaf])
      hungry += mailbox.hungryWorkers(waitingAtMostSeconds: 0)
      gate.signal()
    }
    #expect(hungry == 0)
    mailbox.finish()
    try pool.wait()
    #expect(mailbox.taken == Array(0..<500))
  }

  @Test func mailboxDoesNotAskForLeavesThatLieReady() {
    let mailbox = LeafMailbox(leaves: [1, 2], isFinished: false)
    #expect(mailbox.hungryWorkers(waitingAtMostSeconds: 0.01) == 0)
    mailbox.close()
    #expect(mailbox.next(worker: 0) == nil)
    #expect(mailbox.isClosed)
  }

  @Test func workersWaitingForLeavesAreFreedByAnErrorOrTheEndOfThePool() throws {
    let mailbox = LeafMailbox(leaves: [0], isFinished: false)
    var pool: LeafPool? = try LeafPool(threadCount: 3)
    pool?.run(from: mailbox) { _, leaf in
      usleep(10_000)
      throw Deliberate(leaf: leaf)
    }
    #expect(throws: Deliberate(leaf: 0)) { try pool?.wait() }
    #expect(mailbox.isClosed)
    let other = LeafMailbox(leaves: [], isFinished: false)
    pool?.run(from: other) { _, _ in }
    while other.hungryWorkers(waitingAtMostSeconds: 1) < 3 {}
    pool = nil
    #expect(other.isClosed)
  }
}
