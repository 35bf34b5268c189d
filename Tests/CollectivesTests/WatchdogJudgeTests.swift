import Diagnostics
import Testing

@testable import Collectives

/// The rules of the watchdog with a timeout of 10 s and times given by hand.
struct WatchdogJudgeTests {
  /// Rank `rank` of `size`, which has heard all others at 0 s and works in "step 1".
  private func judge(rank: Int = 0, size: Int = 3, hears: Bool = true) -> WatchdogJudge {
    var judge = WatchdogJudge(
      rank: rank, timeoutSeconds: 10, members: (0..<size).map { ("host\($0)", "starting") }, at: 0)
    guard hears else { return judge }
    for other in 0..<size where other != rank { judge.hear(beat(other), at: 0) }
    judge.endHandshake()
    return judge
  }

  private func reading(
    _ wait: PhaseBoard.Wait = .nobody, phase: String = "step 1", progress: UInt64 = 1
  ) -> PhaseBoard.Reading {
    PhaseBoard.Reading(phase: phase, progress: progress, wait: wait)
  }

  private func beat(
    _ rank: Int, _ wait: PhaseBoard.Wait = .nobody, phase: String = "step 1", idle: Double = 0,
    kind: WatchdogHeartbeat.Kind = .beat
  ) -> WatchdogHeartbeat {
    WatchdogHeartbeat(kind: kind, rank: rank, reading: reading(wait, phase: phase), idleSeconds: idle)
  }

  @Test func rankThatFallsSilentIsNamedAfterTheTimeout() throws {
    var judge = judge()
    judge.hear(beat(2, phase: "step 7"), at: 1)
    judge.observe(reading(.ranks), at: 8)
    judge.hear(beat(1), at: 9)
    #expect(judge.finding(at: 10.9) == nil)
    let finding = try #require(judge.finding(at: 11))
    #expect(finding == .silent([2]))
    #expect(judge.text(of: finding) == "rank 2 (host2) made no progress for 10 s in step 7 (nothing heard)")
  }

  @Test func allSilentRanksAreToldInOneLine() {
    var judge = judge()
    judge.observe(reading(.ranks), at: 10)
    #expect(judge.finding(at: 10) == .silent([1, 2]))
    #expect(
      judge.text(of: .silent([1, 2]))
        == "rank 1 (host1) made no progress for 10 s in step 1 (nothing heard); "
        + "nor did rank 2 (host2) in step 1")
  }

  @Test func stuckRankIsNamedByTheAgeItTells() throws {
    var judge = judge()
    judge.hear(beat(1, phase: "saving", idle: 9.9), at: 9)
    judge.hear(beat(2, .ranks, idle: 15), at: 9)
    judge.observe(reading(.ranks, progress: 2), at: 9)
    #expect(judge.finding(at: 9) == nil)
    judge.hear(beat(1, phase: "saving", idle: 10), at: 9.5)
    let finding = try #require(judge.finding(at: 9.5))
    #expect(finding == .stuck([1]))
    #expect(judge.text(of: finding) == "rank 1 (host1) made no progress for 10 s in saving")
  }

  @Test func rankWatchesItself() {
    var judge = judge(size: 1)
    judge.observe(reading(progress: 1), at: 1)
    judge.observe(reading(progress: 1), at: 10.9)
    #expect(judge.finding(at: 10.9) == nil)
    judge.observe(reading(progress: 1), at: 11)
    #expect(judge.finding(at: 11) == .stuck([0]))
    judge.observe(reading(progress: 2), at: 11.1)
    #expect(judge.finding(at: 11.1) == nil)
  }

  @Test func waitingIsNoStallUntilAllHaveWaitedTwiceTheTimeout() throws {
    var judge = judge(size: 2)
    judge.observe(reading(.ranks), at: 0)
    judge.observe(reading(.ranks), at: 30)
    judge.hear(beat(1, .nobody, idle: 3), at: 30)
    #expect(judge.finding(at: 30) == nil)
    judge.hear(beat(1, .ranks, phase: "evaluating", idle: 19.9), at: 30)
    #expect(judge.finding(at: 30) == nil)
    judge.hear(beat(1, .ranks, phase: "evaluating", idle: 20), at: 30)
    let finding = try #require(judge.finding(at: 30))
    #expect(finding == .deadlock)
    #expect(
      judge.text(of: finding) == "no rank made progress for 20 s, all wait for each other: rank 0 (host0) in "
        + "step 1, rank 1 (host1) in evaluating")
  }

  @Test func waitForAnotherProcessIsToldButEndsNothing() {
    var judge = judge(size: 2)
    judge.observe(reading(.ranks), at: 0)
    judge.observe(reading(.ranks), at: 99)
    judge.hear(beat(1, .outside, phase: "tokenising", idle: 99), at: 99)
    #expect(judge.finding(at: 99) == nil)
    #expect(judge.longWaitsOutside() == [1])
    #expect(
      judge.text(ofWaitOutside: 1) == "rank 1 (host1) has waited 10 s for another process in tokenising")
  }

  @Test func rankNeverHeardIsDeadBeforeTheHandshakeAndUnreachableAfterIt() throws {
    var judge = judge(size: 2, hears: false)
    judge.observe(reading(.ranks), at: 10)
    #expect(judge.finding(at: 10) == .silent([1]))
    judge.endHandshake()
    #expect(judge.finding(at: 10) == nil)
    judge.observe(reading(.ranks), at: 109)
    #expect(judge.finding(at: 109) == nil)
    judge.observe(reading(.ranks), at: 110)
    let finding = try #require(judge.finding(at: 110))
    #expect(finding == .unreachable([1]))
    #expect(
      judge.text(of: finding).hasPrefix(
        "rank 1 (host1) made no progress for 100 s in starting (its heartbeats"))
    judge.hear(beat(1), at: 110)
    #expect(judge.finding(at: 110) == nil)
  }

  @Test func rankThatSaidFarewellIsNotMissed() {
    var judge = judge(size: 2)
    judge.hear(beat(1, kind: .farewell), at: 1)
    judge.observe(reading(progress: 5), at: 50)
    #expect(judge.finding(at: 50) == nil)
  }

  @Test func higherRanksHoldBackForThoseBelowThatAreWell() {
    var last = judge(rank: 2)
    last.hear(beat(0), at: 10)
    #expect(last.holdBackSeconds(at: 11) == 0.3)
    last.hear(beat(1), at: 11)
    #expect(last.holdBackSeconds(at: 11) == 0.6)
    #expect(last.holdBackSeconds(at: 30) == 0)
    #expect(judge(rank: 0).holdBackSeconds(at: 0) == 0)
    #expect(judge(rank: 63, size: 64).holdBackSeconds(at: 0) == 3)
  }

  @Test func damagedRankNumbersAreIgnored() {
    var judge = judge(size: 2)
    judge.hear(beat(7), at: 5)
    judge.hear(beat(0, idle: 50), at: 5)
    judge.hear(beat(1), at: 5)
    judge.observe(reading(progress: 9), at: 5)
    #expect(judge.finding(at: 5) == nil)
  }

  @Test func clockStandsStillWhileTheProcessIsStopped() {
    var clock = WatchdogClock(at: 100)
    clock.advance(to: 102, slept: 2)
    #expect(clock.seconds == 2)
    clock.advance(to: 104.2, slept: 2)
    #expect(abs(clock.seconds - 4.2) < 1e-9)
    // Asked for 2 s, woke an hour later.
    clock.advance(to: 3706.2, slept: 2)
    #expect(abs(clock.seconds - 6.45) < 1e-9)
    // Woken early by a datagram.
    clock.advance(to: 3706.3, slept: 2)
    #expect(abs(clock.seconds - 6.55) < 1e-9)
  }
}

struct WatchdogHeartbeatTests {
  private let beat = WatchdogHeartbeat(
    kind: .verdict, rank: 300, reading: .init(phase: "Schritt größer", progress: 1 << 40, wait: .outside),
    idleSeconds: 12.345)

  @Test func datagramIsReadBack() {
    let bytes = beat.encoded(nonce: 0x0123_4567_89AB_CDEF)
    #expect(bytes.count == WatchdogHeartbeat.headerLength + 16)
    #expect(WatchdogHeartbeat(bytes[...], nonce: 0x0123_4567_89AB_CDEF) == beat)
    // As a slice that does not start at 0.
    #expect(WatchdogHeartbeat(([9, 9] + bytes)[2...], nonce: 0x0123_4567_89AB_CDEF) == beat)
  }

  @Test func otherJobsAndDamagedDatagramsAreNotRead() {
    let bytes = beat.encoded(nonce: 5)
    #expect(WatchdogHeartbeat(bytes[...], nonce: 6) == nil)
    for length in 0..<bytes.count {
      #expect(WatchdogHeartbeat(bytes[..<length], nonce: 5) == nil, "\(length)")
    }
    #expect(WatchdogHeartbeat((bytes + [0])[...], nonce: 5) == nil)
    // Magic, kind, wait, length of the phase, nonce.
    for place in Array(0..<8) + Array(8..<16) {
      var damaged = bytes
      damaged[place] ^= 0x40
      #expect(WatchdogHeartbeat(damaged[...], nonce: 5) == nil, "byte \(place)")
    }
  }

  @Test func longPhasesAreCutBetweenCharacters() {
    var long = beat
    long.reading = .init(phase: String(repeating: "ö", count: 31) + "🙂🙂", progress: 0, wait: .nobody)
    let bytes = long.encoded(nonce: 1)
    #expect(bytes.count <= WatchdogHeartbeat.headerLength + WatchdogHeartbeat.longestPhase)
    let phase = WatchdogHeartbeat(bytes[...], nonce: 1)?.reading.phase
    #expect(phase == String(repeating: "ö", count: 31))
  }
}
