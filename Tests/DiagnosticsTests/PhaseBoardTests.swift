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
    let slate = PhaseSlate()
    slate.enter("step 3")
    #expect(throws: Failure.self) {
      try slate.during("saving") {
        #expect(slate.read().phase == "saving")
        throw Failure()
      }
    }
    #expect(slate.read().phase == "step 3")
  }
}
