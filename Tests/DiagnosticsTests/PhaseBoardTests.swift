import Foundation
import Synchronization
import Testing

@testable import Diagnostics

struct PhaseBoardTests {
  @Test func everySignChangesTheProgress() {
    let slate = PhaseSlate()
    var last = slate.read().progress
    let signs: [(String, () -> Void)] = [
      ("tick", slate.tick), ("phase", { slate.enter("step 1") }), ("same phase", { slate.enter("step 1") }),
      ("wait", { slate.beginWaiting(for: .ranks) }), ("end of wait", { slate.endWaiting(for: .ranks) }),
      ("leaf", slate.beginLeaf), ("end of leaf", slate.endLeaf),
    ]
    for (name, sign) in signs {
      sign()
      #expect(slate.read().progress > last, "\(name)")
      last = slate.read().progress
    }
    #expect(slate.read() == .init(phase: "step 1", progress: last, wait: .nobody))
  }

  @Test func waitsNestAndOutsideOutweighsRanks() {
    let slate = PhaseSlate()
    slate.beginWaiting(for: .ranks)
    slate.beginWaiting(for: .ranks)
    slate.beginWaiting(for: .outside)
    #expect(slate.read().wait == .outside)
    slate.endWaiting(for: .outside)
    slate.endWaiting(for: .ranks)
    #expect(slate.read().wait == .ranks)
    slate.endWaiting(for: .ranks)
    #expect(slate.read().wait == .nobody)
  }

  @Test func leafUnderWayOutweighsAWaitingMainThread() {
    let slate = PhaseSlate()
    slate.beginWaiting(for: .ranks)
    slate.beginLeaf()
    slate.beginLeaf()
    slate.endLeaf()
    #expect(slate.read().wait == .nobody)
    slate.endLeaf()
    #expect(slate.read().wait == .ranks)
  }

  @Test func phaseOfABodyEndsWithIt() {
    struct Failure: Error {}
    PhaseBoard.enter("step 3")
    #expect(throws: Failure.self) {
      try PhaseBoard.during("saving") {
        #expect(PhaseBoard.read().phase == "saving")
        throw Failure()
      }
    }
    #expect(PhaseBoard.read().phase == "step 3")
  }

  /// A reader that sees the end of a wait must see progress as well: the age of a wait is no age of work.
  @Test func endOfAWaitIsNeverSeenWithoutItsProgress() {
    let slate = PhaseSlate()
    let isOver = Atomic<Bool>(false)
    Thread.detachNewThread {
      for _ in 0..<200_000 {
        slate.beginWaiting(for: .ranks)
        slate.endWaiting(for: .ranks)
      }
      isOver.store(true, ordering: .releasing)
    }
    var waitingAt: UInt64?
    var seen = (waits: 0, stale: 0)
    while !isOver.load(ordering: .acquiring) {
      let reading = slate.read()
      if reading.wait == .ranks {
        waitingAt = reading.progress
        seen.waits += 1
      } else if reading.progress == waitingAt {
        seen.stale += 1
      }
    }
    #expect(seen.waits > 0)
    #expect(seen.stale == 0)
  }
}
