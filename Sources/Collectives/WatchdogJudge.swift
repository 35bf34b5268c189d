import Diagnostics

/// Decides from what was heard, and when, whether the job has stalled and by whose fault.
///
/// It has no clock, no socket and no thread: times are handed in (seconds of a ``WatchdogClock``), so that
/// its rules can be tested one by one. With timeout T, in this order:
///
/// 1. A rank that was heard before (or has not yet taken part in the handshake of the start) and then not for
///    T is dead or stopped.
/// 2. A rank that is heard, waits for nobody and has made no progress for T is stuck. This rank too.
/// 3. All ranks wait for each other, none having made progress for 2 T: a deadlock. A rank that waits for
///    something outside the job is not part of one.
/// 4. A rank whose heartbeats never arrived, though MPI reached it (UDP blocked between the hosts), may be
///    working for all we know. It is dead when all that can be heard have waited for 10 T.
struct WatchdogJudge {
  /// How heartbeats of a rank come in.
  enum Link: Equatable {
    /// None so far, and the ranks have not yet compared whom they hear.
    case expected
    case heard
    /// MPI reached it, heartbeats do not.
    case unreachable
    /// It has said farewell.
    case finished
  }

  /// What is known of one rank.
  struct Member {
    let hostName: String
    var link: Link = .expected
    var reading: PhaseBoard.Reading
    /// Time without progress, as that rank said last.
    var idleSeconds = 0.0
    var lastHeard: Double
  }

  /// Why the job must end.
  enum Finding: Equatable {
    case silent([Int])
    case stuck([Int])
    case deadlock
    case unreachable([Int])
  }

  let rank: Int
  let timeoutSeconds: Double
  private(set) var members: [Member]
  private var lastProgress: Double

  static let deadlockFactor = 2.0
  static let unreachableFactor = 10.0

  /// - Parameter members: host and first phase of every rank, in order.
  init(
    rank: Int, timeoutSeconds: Double, members: [(hostName: String, phase: String)], at now: Double
  ) {
    self.rank = rank
    self.timeoutSeconds = timeoutSeconds
    lastProgress = now
    self.members = members.map {
      let reading = PhaseBoard.Reading(phase: $0.phase, progress: 0, wait: .nobody)
      return Member(hostName: $0.hostName, reading: reading, lastHeard: now)
    }
    self.members[rank].link = .heard
  }

  // MARK: What is seen

  /// Takes up a heartbeat of another rank.
  mutating func hear(_ beat: WatchdogHeartbeat, at now: Double) {
    guard members.indices.contains(beat.rank), beat.rank != rank else { return }
    members[beat.rank].reading = beat.reading
    members[beat.rank].idleSeconds = beat.idleSeconds
    members[beat.rank].lastHeard = now
    members[beat.rank].link = beat.kind == .farewell ? .finished : .heard
  }

  /// Takes up this rank's own board.
  mutating func observe(_ reading: PhaseBoard.Reading, at now: Double) {
    if reading.progress != members[rank].reading.progress { lastProgress = now }
    members[rank].reading = reading
    members[rank].idleSeconds = now - lastProgress
    members[rank].lastHeard = now
  }

  /// All ranks have met after their heartbeats had begun: who has not been heard by now cannot be.
  mutating func endHandshake() {
    for index in members.indices where members[index].link == .expected { members[index].link = .unreachable }
  }

  /// What this rank tells the others of itself.
  var ownIdleSeconds: Double { members[rank].idleSeconds }

  /// Numbers of the other ranks that have been heard.
  var heard: [Int] { members.indices.filter { $0 != rank && members[$0].link == .heard } }

  // MARK: What follows

  /// Why the job must end, if it must.
  func finding(at now: Double) -> Finding? {
    let silent = ranks {
      ($0.link == .heard || $0.link == .expected) && now - $0.lastHeard >= timeoutSeconds
    }
    if !silent.isEmpty { return .silent(silent) }
    let stuck = ranks {
      $0.link == .heard && $0.reading.wait == .nobody && $0.idleSeconds >= timeoutSeconds
    }
    if !stuck.isEmpty { return .stuck(stuck) }
    let audible = ranks { $0.link == .heard || $0.link == .expected }
    let idle = audible.map { members[$0].idleSeconds }.min() ?? 0
    guard members.count > 1, audible.allSatisfy({ members[$0].reading.wait == .ranks }) else { return nil }
    let unreachable = ranks { $0.link == .unreachable }
    if unreachable.isEmpty {
      return idle >= timeoutSeconds * WatchdogJudge.deadlockFactor ? .deadlock : nil
    }
    return idle >= timeoutSeconds * WatchdogJudge.unreachableFactor ? .unreachable(unreachable) : nil
  }

  /// How long to hold a finding back, so that usually one rank alone speaks: 0.3 s for each rank with a lower
  /// number that was heard lately and will speak if it is well.
  func holdBackSeconds(at now: Double) -> Double {
    let before = members[..<rank].count {
      $0.link == .heard && now - $0.lastHeard < max(timeoutSeconds / 2, 1)
    }
    return 0.3 * Double(min(before, 10))
  }

  /// Ranks that have waited longer than the timeout for something outside the job: worth a word, no reason to
  /// end.
  func longWaitsOutside() -> [Int] {
    ranks { $0.link == .heard && $0.reading.wait == .outside && $0.idleSeconds >= timeoutSeconds }
  }

  private func ranks(where condition: (Member) -> Bool) -> [Int] {
    members.indices.filter { condition(members[$0]) }
  }
}
