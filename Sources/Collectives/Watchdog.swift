import Diagnostics
import Foundation
import Synchronization

/// Sees to it that no rank waits for a dead one for ever.
///
/// MPI is called from the main thread alone, and the main thread may be deep in work or stuck, so the
/// watchdog keeps out of MPI: a thread of every rank sends the state of its ``PhaseBoard`` to all others in
/// UDP datagrams, every sixth of the timeout and at least every 2 s, and listens to theirs. A rank that is
/// dead or stopped is not heard any more; one that is stuck is heard, but neither progresses nor waits for
/// others. After the timeout one rank says `rank 1 (HOST) made no progress for 60 s in PHASE` and leaves with
/// exit code 1; the launcher then ends the rest. ``WatchdogJudge`` has the rules, ``WatchdogClock`` keeps
/// them fair to a job that was suspended.
///
/// Progress shows by itself in every collective and every leaf; other long work (loading, tokenising,
/// writing) calls `PhaseBoard.tick()` now and then, more often than the timeout.
///
/// Cost: W - 1 small datagrams per rank each way and interval for W ranks, and a thread that sleeps. The
/// start takes a few milliseconds; 3 s if heartbeats do not pass between hosts. Then the watchdog warns, and
/// notices a rank stopped over there only when all others have waited for ten times the timeout.
public enum Watchdog {
  private static let patrol = Mutex<WatchdogPatrol?>(nil)

  /// Longest time to wait at the start for heartbeats of all ranks.
  private static let handshakeSeconds = 3.0

  /// Starts watching; every rank must call it, once. ``World/run(_:)`` stops it.
  ///
  /// - Parameter timeoutSeconds: time without progress after which the job is ended; 0 for never. The value
  ///   of rank 0 counts.
  /// - Throws: `CollectivesError.mpi`; `.meetingFailed` if the ranks do not all come here in time.
  @MainActor
  public static func start(world: World, timeoutSeconds: Double) throws {
    try start(world: world, timeoutSeconds: timeoutSeconds, usesNetwork: true)
  }

  /// - Parameter usesNetwork: false on a rank that shall neither send nor hear heartbeats, as if behind a
  ///   firewall.
  @MainActor
  package static func start(world: World, timeoutSeconds: Double, usesNetwork: Bool) throws {
    precondition(
      timeoutSeconds >= 0 && timeoutSeconds.isFinite, "a stall timeout of \(timeoutSeconds) s; 0 turns it off"
    )
    precondition(patrol.withLock { $0 == nil }, "the watchdog was started twice")
    let socket = WatchdogSocket(usesNetwork: usesNetwork && world.size > 1)
    let own = WatchdogMember(
      hostName: world.hostName, phase: PhaseBoard.read().phase, addresses: WatchdogSocket.ownAddresses(),
      port: socket.port, nonce: UInt64.random(in: .min ... .max), timeoutSeconds: timeoutSeconds)
    let members = try within(timeoutSeconds, of: world) {
      try world.gatherAtAll(JSONEncoder().encode(own)).map {
        try JSONDecoder().decode(WatchdogMember.self, from: $0)
      }
    }
    guard members[0].timeoutSeconds > 0 else { return socket.close() }
    let patrol = WatchdogPatrol(rank: world.rank, members: members, socket: socket)
    patrol.start()
    Watchdog.patrol.withLock { $0 = patrol }
    try shakeHands(patrol, members: members, world: world)
  }

  /// Stops watching; does nothing if it was never started.
  public static func stop() {
    patrol.withLock { patrol in
      defer { patrol = nil }
      return patrol
    }?.stop()
  }

  /// Waits for a heartbeat of every rank, then all compare whom they hear.
  @MainActor
  private static func shakeHands(_ patrol: WatchdogPatrol, members: [WatchdogMember], world: World) throws {
    let start = Stopwatch()
    let others = members.indices.filter { $0 != world.rank && members[$0].port != 0 }
    let canHear = members[world.rank].port != 0
    PhaseBoard.waiting {
      while canHear, patrol.heard.count < others.count, start.seconds < handshakeSeconds { usleep(1000) }
    }
    let heard = Set(patrol.heard)
    let unheard = members.indices.filter { $0 != world.rank && !heard.contains($0) }
    let all = try world.gatherAtAll(unheard.map(String.init).joined(separator: ","))
    patrol.endHandshake()
    let deaf = all.map { list in Set(list.split(separator: ",").compactMap { Int($0) }) }
    let pairs = deaf.indices.flatMap { low in
      (low + 1..<deaf.count).filter { deaf[low].contains($0) || deaf[$0].contains(low) }.map { (low, $0) }
    }
    guard world.isFirst, !pairs.isEmpty else { return }
    let judge = WatchdogJudge(
      rank: world.rank, timeoutSeconds: members[0].timeoutSeconds,
      members: members.map { ($0.hostName, $0.phase) }, at: 0)
    RunLog.warning(judge.text(ofUnheard: pairs))
  }

  /// Runs `body`, a first meeting of all ranks that nothing watches yet, and gives up after the timeout.
  @MainActor
  private static func within<Result>(
    _ timeoutSeconds: Double, of world: World, _ body: () throws -> Result
  ) throws -> Result {
    let before = world.onPoll
    let start = Stopwatch()
    world.onPoll = {
      try before()
      guard timeoutSeconds == 0 || start.seconds < timeoutSeconds else {
        throw CollectivesError.meetingFailed(seconds: timeoutSeconds)
      }
    }
    defer { world.onPoll = before }
    return try body()
  }
}
