import Collectives
import Diagnostics
import Foundation

/// What the watchdog must end, and what it must not: `mpi-selftest stall SCENARIO:VICTIM:TIMEOUT`.
struct StallScenario {
  let world: World
  /// The rank that stalls, or has the most to do.
  let victim: Int
  let timeoutSeconds: Double

  @MainActor private var isVictim: Bool { world.rank == victim }

  @MainActor
  static func run(_ world: World, _ argument: String?) throws {
    let parts = (argument ?? "").split(separator: ":").map(String.init)
    let scenario = StallScenario(
      world: world, victim: parts.count > 1 ? Int(parts[1]) ?? 0 : 0,
      timeoutSeconds: parts.count > 2 ? Double(parts[2]) ?? 2 : 2)
    PhaseBoard.enter("starting the scenario")
    try Watchdog.start(
      world: world, timeoutSeconds: scenario.timeoutSeconds,
      usesNetwork: !(parts.first == "deaf" && scenario.isVictim))
    guard let body = bodies[parts.first ?? ""] else {
      throw SelfTestError.unexpected(
        what: "scenario \(argument ?? "none"), known: \(bodies.keys.sorted())", rank: world.rank)
    }
    PhaseBoard.enter("step 12")
    try body(scenario)
    try world.barrier()
    if world.isFirst { say("all is well") }
  }

  @MainActor private static let bodies: [String: @MainActor (StallScenario) throws -> Void] = [
    "stopped": { try $0.stopVictim(after: 0.3) },
    "stopped-at-once": { try $0.stopVictim(after: 0) },
    "stuck-leaf": { try $0.stickInLeaf() },
    "stuck-while-asking": { try $0.stickInLeafWhileWaiting() },
    "stuck-main": { try $0.stickOnMainThread() },
    "exits": { try $0.exitSilently() },
    "deadlock": { try $0.meetInDifferentPlaces() },
    "slow": { try $0.workSlowly() },
    "waits-outside": { try $0.waitOutside() },
    "suspended": { try $0.suspend(everyone: true, seconds: $0.timeoutSeconds * 2) },
    "stopped-briefly": { try $0.suspend(everyone: false, seconds: $0.timeoutSeconds * 0.6) },
    "deaf": { try $0.workSlowly() },
    "alone-for-long": { $0.workWithoutMeeting() },
  ]

  // MARK: Stalls

  /// Another rank sends SIGSTOP to the victim.
  @MainActor private func stopVictim(after seconds: Double) throws {
    let processes = try world.gatherAtAll("\(getpid())").compactMap { pid_t($0) }
    if isVictim { PhaseBoard.enter("evaluating") }
    if world.rank == (victim == 0 ? 1 : 0) {
      usleep(UInt32(seconds * 1e6))
      tellStall()
      kill(processes[victim], SIGSTOP)
    }
    if isVictim { while true { tickFor(seconds: 1) } }
  }

  /// A leaf that never ends.
  @MainActor private func stickInLeaf() throws {
    let pool = try LeafPool(threadCount: 2)
    let isVictim = isVictim
    let text = stallText
    pool.run(count: 4) { _, item in
      guard isVictim, item == 1 else { return }
      say(text)
      while true { usleep(100_000) }
    }
    try pool.wait()
  }

  /// A leaf that never ends, while the main thread waits for the other ranks.
  @MainActor private func stickInLeafWhileWaiting() throws {
    let pool = try LeafPool(threadCount: 1)
    let isVictim = isVictim
    let text = stallText
    pool.run(count: 1) { _, _ in
      guard isVictim else { return }
      say(text)
      while true { usleep(100_000) }
    }
    try PhaseBoard.waiting { try pool.wait() }
  }

  @MainActor private func stickOnMainThread() throws {
    guard isVictim else { return }
    PhaseBoard.enter("saving")
    tellStall()
    while true { usleep(100_000) }
  }

  @MainActor private func exitSilently() throws {
    guard isVictim else { return }
    tellStall()
    _exit(0)
  }

  @MainActor private func meetInDifferentPlaces() throws {
    guard isVictim else { return }
    tellStall()
    PhaseBoard.enter("evaluating")
    var values: [Int64] = [1]
    try world.reduceOnNode(&values, .sum)
  }

  // MARK: No stalls

  /// The victim works for two timeouts, leaf by leaf; the others wait for it.
  @MainActor private func workSlowly() throws {
    guard isVictim else { return }
    let pool = try LeafPool(threadCount: 1)
    let leafMicroseconds = UInt32(timeoutSeconds * 0.4 * 1e6)
    pool.run(count: 6) { _, _ in usleep(leafMicroseconds) }
    try pool.wait()
  }

  @MainActor private func waitOutside() throws {
    guard isVictim else { return }
    PhaseBoard.enter("tokenising")
    PhaseBoard.waiting(for: .outside) { _ = usleep(UInt32(timeoutSeconds * 3 * 1e6)) }
  }

  /// All ranks, or the victim alone, are stopped for a while, in the middle of a wait or of work that ticks.
  @MainActor private func suspend(everyone: Bool, seconds: Double) throws {
    let processes = try world.gatherAtAll("\(getpid())")
    let stopped = everyone ? processes.joined(separator: " ") : processes[victim]
    if world.isFirst {
      let shell = Process()
      shell.executableURL = URL(fileURLWithPath: "/bin/sh")
      shell.arguments = ["-c", "kill -STOP \(stopped); sleep \(seconds); kill -CONT \(stopped)"]
      try shell.run()
    }
    if isVictim { tickFor(seconds: seconds + timeoutSeconds) }
  }

  /// Every rank works and ticks, and meets the others after three timeouts only.
  @MainActor private func workWithoutMeeting() { tickFor(seconds: timeoutSeconds * 3) }

  @MainActor private func tickFor(seconds: Double) {
    let watch = Stopwatch()
    while watch.seconds < seconds {
      PhaseBoard.tick()
      usleep(50_000)
    }
  }

  @MainActor private func tellStall() { say(stallText) }

  private var stallText: String { "stalls at \(Date().timeIntervalSince1970)" }
}

/// Prints at once, as the process may not end in an orderly way.
private func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
