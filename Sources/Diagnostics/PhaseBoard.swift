import Synchronization

/// What this process is doing and whether it gets on with it: the main work writes, the watchdog reads.
///
/// Phase and waiting describe the main thread, so they are written from there; ticks and leaves come from any
/// thread. A leaf under way outweighs a waiting main thread: the process then owes progress. Writing costs one atomic addition (a phase also a short lock), so every leaf and every collective
/// can afford it. The counters are read without a lock: a stuck writer cannot hold up the reader.
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

  private static let progress = Atomic<UInt64>(0)
  private static let waitsForRanks = Atomic<Int>(0)
  private static let waitsForOutside = Atomic<Int>(0)
  private static let leavesUnderWay = Atomic<Int>(0)
  private static let phase = Mutex<String>("starting")

  /// Says what is done from now on ("loading the model", "step 12"), which is progress too.
  public static func enter(_ phase: String) {
    self.phase.withLock { $0 = phase }
    tick()
  }

  /// Runs `body` as `phase`, then goes back to the phase before.
  public static func during<Result>(_ phase: String, _ body: () throws -> Result) rethrows -> Result {
    let before = self.phase.withLock { $0 }
    enter(phase)
    defer { enter(before) }
    return try body()
  }

  /// A sign of progress: a leaf, a collective, a file, a few thousand tokenised examples.
  public static func tick() { progress.wrappingAdd(1, ordering: .relaxed) }

  /// Runs `body`, which waits for others: standing still is no stall of this process meanwhile.
  public static func waiting<Result>(
    for wait: Wait = .ranks, _ body: () throws -> Result
  ) rethrows -> Result {
    beginWaiting(for: wait)
    defer { endWaiting(for: wait) }
    return try body()
  }

  /// The main thread waits from now on; nests. Every call needs its ``endWaiting(for:)``.
  public static func beginWaiting(for wait: Wait = .ranks) {
    tick()
    add(1, to: wait)
  }

  /// The main thread has stopped waiting.
  public static func endWaiting(for wait: Wait = .ranks) {
    // Progress first: whoever sees the end of the wait sees this tick too, not the age of the wait.
    tick()
    add(-1, to: wait)
  }

  /// Runs `body`, a leaf, on a worker thread.
  public static func leaf<Result>(_ body: () throws -> Result) rethrows -> Result {
    tick()
    leavesUnderWay.wrappingAdd(1, ordering: .releasing)
    defer {
      tick()
      leavesUnderWay.wrappingSubtract(1, ordering: .releasing)
    }
    return try body()
  }

  /// The board now.
  public static func read() -> Reading {
    // Before the progress, in the opposite order of the writers.
    let wait: Wait =
      if leavesUnderWay.load(ordering: .acquiring) > 0 {
        .nobody
      } else if waitsForOutside.load(ordering: .acquiring) > 0 {
        .outside
      } else if waitsForRanks.load(ordering: .acquiring) > 0 {
        .ranks
      } else {
        .nobody
      }
    let count = progress.load(ordering: .acquiring)
    return Reading(phase: phase.withLock { $0 }, progress: count, wait: wait)
  }

  private static func add(_ difference: Int, to wait: Wait) {
    switch wait {
    case .nobody: return
    case .ranks: waitsForRanks.wrappingAdd(difference, ordering: .releasing)
    case .outside: waitsForOutside.wrappingAdd(difference, ordering: .releasing)
    }
  }
}
