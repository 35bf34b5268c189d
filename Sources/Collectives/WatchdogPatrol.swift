import Diagnostics
import Foundation
import Synchronization

/// What a rank tells all others when the watchdog starts.
struct WatchdogMember: Codable {
  let hostName: String
  let phase: String
  /// IPv4 addresses in network byte order.
  let addresses: [UInt32]
  /// UDP port; 0 if this rank can neither send nor receive.
  let port: UInt16
  /// The number rank 0 has drawn for the job; what the others draw is not looked at.
  let nonce: UInt64
  /// The timeout given to this rank; that of rank 0 counts.
  let timeoutSeconds: Double
}

/// The thread of the watchdog: sends heartbeats, listens to those of others, judges, ends the job.
///
/// It never calls MPI, and takes no lock that the main thread holds for long, so it gets on whatever the main
/// thread does.
final class WatchdogPatrol: Sendable {
  private let socket: WatchdogSocket
  private let rank: Int
  private let members: [WatchdogMember]
  private let timeoutSeconds: Double
  private let nonce: UInt64
  private let isStopping = Atomic<Bool>(false)
  private let handshakeHasEnded = Atomic<Bool>(false)
  private let heardRanks = Mutex<[Int]>([])
  private let ended = DispatchSemaphore(value: 0)

  /// - Parameter members: of every rank, in order; all must agree on the timeout and nonce of the first.
  init(rank: Int, members: [WatchdogMember], socket: WatchdogSocket) {
    self.rank = rank
    self.members = members
    self.socket = socket
    timeoutSeconds = members[0].timeoutSeconds
    nonce = members[0].nonce
  }

  /// Seconds between two heartbeats once the start is over.
  var intervalSeconds: Double { min(timeoutSeconds / 6, 2) }

  /// Starts the thread.
  func start() {
    Thread.detachNewThread { [self] in
      // A name for `top -H` and debuggers; Foundation's own setter does not reach the kernel.
      try? "watchdog".write(toFile: "/proc/thread-self/comm", atomically: false, encoding: .utf8)
      var rounds = Rounds(self)
      rounds.run()
      ended.signal()
    }
  }

  /// Other ranks heard so far.
  var heard: [Int] { heardRanks.withLock { $0 } }

  /// Says that all ranks have compared whom they hear.
  func endHandshake() { handshakeHasEnded.store(true, ordering: .releasing) }

  /// Says farewell to the others and ends the thread.
  func stop() {
    isStopping.store(true, ordering: .releasing)
    socket.wake()
    // A thread that hangs (in a write to a dead terminal, say) is left behind, with its socket.
    if ended.wait(timeout: .now() + 2) == .success { socket.close() }
  }

  /// Sends to every other rank, by every address it has: which of them this host reaches is not known.
  private func broadcast(_ kind: WatchdogHeartbeat.Kind, _ judge: WatchdogJudge) {
    let bytes = WatchdogHeartbeat(
      kind: kind, rank: rank, reading: judge.members[rank].reading, idleSeconds: judge.ownIdleSeconds
    ).encoded(nonce: nonce)
    for (index, member) in members.enumerated() where index != rank && member.port != 0 {
      for address in member.addresses { socket.send(bytes, to: address, port: member.port) }
    }
  }
}

extension WatchdogPatrol {
  /// The life of the thread.
  private struct Rounds {
    private let patrol: WatchdogPatrol
    private var judge: WatchdogJudge
    private var clock = WatchdogClock(at: Stopwatch.now)
    private var nextBeat = 0.0
    private var foundAt: Double?
    private var silencedAt: Double?
    private var toldOfWait = false

    init(_ patrol: WatchdogPatrol) {
      self.patrol = patrol
      judge = WatchdogJudge(
        rank: patrol.rank, timeoutSeconds: patrol.timeoutSeconds,
        members: patrol.members.map { ($0.hostName, $0.phase) }, at: 0)
    }

    mutating func run() {
      var sleep = 0.0
      while true {
        clock.advance(to: Stopwatch.now, slept: sleep)
        look(at: clock.seconds)
        if patrol.isStopping.load(ordering: .acquiring) { return leave() }
        act(at: clock.seconds)
        sleep = max(
          0.001, min(nextBeat, foundAt.map { _ in clock.seconds + 0.05 } ?? nextBeat) - clock.seconds)
        patrol.socket.wait(seconds: sleep)
      }
    }

    /// Takes up what has happened since the last look.
    private mutating func look(at now: Double) {
      patrol.socket.receive { bytes in
        guard let beat = WatchdogHeartbeat(bytes, nonce: patrol.nonce) else { return }
        judge.hear(beat, at: now)
        if beat.kind == .verdict, beat.rank != patrol.rank { silencedAt = silencedAt ?? now }
      }
      judge.observe(PhaseBoard.read(), at: now)
      if patrol.handshakeHasEnded.load(ordering: .acquiring) {
        judge.endHandshake()
      } else {
        patrol.heardRanks.withLock { $0 = judge.heard }
      }
    }

    /// Sends, warns, ends the job.
    private mutating func act(at now: Double) {
      if let silencedAt {
        // Another rank has told what is wrong. Normally its end brings ours within a second or two.
        if now - silencedAt > 5 {
          VerdictFile.make()
          _exit(1)
        }
      } else if let finding = judge.finding(at: now) {
        if foundAt == nil { nextBeat = now }
        foundAt = foundAt ?? now
        if now - (foundAt ?? now) >= judge.holdBackSeconds(at: now) { end(finding) }
      } else {
        foundAt = nil
      }
      if patrol.rank == 0, !toldOfWait, let waiting = judge.longWaitsOutside().first {
        toldOfWait = true
        RunLog.warning(judge.text(ofWaitOutside: waiting))
      }
      if now >= nextBeat {
        patrol.broadcast(.beat, judge)
        let inHandshake = !patrol.handshakeHasEnded.load(ordering: .acquiring)
        nextBeat = now + (inHandshake ? min(0.1, patrol.intervalSeconds) : patrol.intervalSeconds)
      }
    }

    /// Tells the finding and ends this process; the launcher then ends the others.
    private func end(_ finding: WatchdogJudge.Finding) -> Never {
      for _ in 0..<2 { patrol.broadcast(.verdict, judge) }
      let text = judge.text(of: finding)
      let told = DispatchSemaphore(value: 0)
      // On a thread of its own: standard error may be a pipe that nobody empties.
      Thread.detachNewThread {
        RunLog.error(text)
        told.signal()
      }
      _ = told.wait(timeout: .now() + 1)
      VerdictFile.make()
      // Time for the launcher to read the line before it learns of our end.
      usleep(200_000)
      _exit(1)
    }

    private func leave() {
      for _ in 0..<2 { patrol.broadcast(.farewell, judge) }
    }
  }
}
