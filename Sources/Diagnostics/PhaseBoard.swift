import Synchronization

/// What this process is doing and whether it gets on with it: the main work writes, the watchdog reads.
///
/// Phase and waiting describe the main thread, so they are written from there; ticks and leaves come from any
/// thread. A leaf under way outweighs a waiting main thread: the process then owes progress. Writing costs
/// one or two atomic additions (a phase also a short lock), so every leaf and every collective can afford it.
/// The counters are read without a lock: a stuck writer cannot hold up the reader.
public enum PhaseBoard {
  /// Whom the main thread is waiting for.
  public enum Wait: UInt8, Sendable {
    /// Nobody: it works, and owes progress.
    case nobody = 0
    /// Other ranks of this job, in a collective.
    case ranks = 1
    /// A process that may belong to another job, for instance the holder of a file lock.
    case outside = 2
  }

  /// The board at one moment.
  public struct Reading: Sendable, Equatable {
    /// What the process says it is doing, such as "step 12".
    public let phase: String
    /// Grows with every sign of progress; only a change means anything.
    public let progress: UInt64
    public let wait: Wait

    public init(phase: String, progress: UInt64, wait: Wait) {
      self.phase = phase
      self.progress = progress
      self.wait = wait
    }
  }

  private static let slate = PhaseSlate()

  /// Says what is done from now on ("loading the model", "step 12"), which is progress too.
  public static func enter(_ phase: String) { slate.enter(phase) }

  /// Runs `body` as `phase`, then goes back to the phase before.
  public static func during<Result>(_ phase: String, _ body: () throws -> Result) rethrows -> Result {
    try slate.during(phase, body)
  }

  /// A sign of progress: a file, a tensor, a few thousand tokenised examples. Leaves and collectives give
  /// theirs by themselves.
  public static func tick() { slate.tick() }

  /// Runs `body`, which waits for others: standing still is no stall of this process meanwhile.
  public static func waiting<Result>(
    for wait: Wait = .ranks, _ body: () throws -> Result
  ) rethrows -> Result {
    slate.beginWaiting(for: wait)
    defer { slate.endWaiting(for: wait) }
    return try body()
  }

  /// The main thread waits from now on; nests. Every call needs its ``endWaiting(for:)``.
  public static func beginWaiting(for wait: Wait = .ranks) { slate.beginWaiting(for: wait) }

  /// The main thread has stopped waiting.
  public static func endWaiting(for wait: Wait = .ranks) { slate.endWaiting(for: wait) }

  /// Runs `body`, a leaf, on a worker thread.
  public static func leaf<Result>(_ body: () throws -> Result) rethrows -> Result {
    slate.beginLeaf()
    defer { slate.endLeaf() }
    return try body()
  }

  /// The board now.
  public static func read() -> Reading { slate.read() }
}

/// What is written on a ``PhaseBoard``. A process has one; tests make their own.
final class PhaseSlate: Sendable {
  private let progress = Atomic<UInt64>(0)
  private let waitsForRanks = Atomic<Int>(0)
  private let waitsForOutside = Atomic<Int>(0)
  private let leavesUnderWay = Atomic<Int>(0)
  private let phase = Mutex<String>("starting")

  func enter(_ phase: String) {
    self.phase.withLock { $0 = phase }
    tick()
  }

  func during<Result>(_ phase: String, _ body: () throws -> Result) rethrows -> Result {
    let before = read().phase
    enter(phase)
    defer { enter(before) }
    return try body()
  }

  func tick() { progress.wrappingAdd(1, ordering: .relaxed) }

  // Each change of state ticks first: whoever sees the new state sees that tick too, and does not take the
  // age of the wait before for the age of the work that begins.

  func beginWaiting(for wait: PhaseBoard.Wait) {
    tick()
    add(1, to: wait)
  }

  func endWaiting(for wait: PhaseBoard.Wait) {
    tick()
    add(-1, to: wait)
  }

  func beginLeaf() {
    tick()
    leavesUnderWay.wrappingAdd(1, ordering: .releasing)
  }

  func endLeaf() {
    tick()
    leavesUnderWay.wrappingSubtract(1, ordering: .releasing)
  }

  func read() -> PhaseBoard.Reading {
    // The state before the progress, in the opposite order of the writers.
    let wait = wait
    let count = progress.load(ordering: .acquiring)
    return PhaseBoard.Reading(phase: phase.withLock { $0 }, progress: count, wait: wait)
  }

  private var wait: PhaseBoard.Wait {
    if leavesUnderWay.load(ordering: .acquiring) > 0 { return .nobody }
    if waitsForOutside.load(ordering: .acquiring) > 0 { return .outside }
    return waitsForRanks.load(ordering: .acquiring) > 0 ? .ranks : .nobody
  }

  private func add(_ difference: Int, to wait: PhaseBoard.Wait) {
    switch wait {
    case .nobody: return
    case .ranks: waitsForRanks.wrappingAdd(difference, ordering: .releasing)
    case .outside: waitsForOutside.wrappingAdd(difference, ordering: .releasing)
    }
  }
}
