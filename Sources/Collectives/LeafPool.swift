import Diagnostics
import Foundation
import Synchronization

/// Plain threads that pick up leaves by number.
///
/// The main thread starts a round with ``run(count:body:)``, computes nothing itself, and waits with
/// ``wait(onPoll:)``. Workers take the next number from a shared counter until none is left, so fast ones do
/// more. The first error ends the round between leaves and is thrown to the main thread.
public final class LeafPool: Sendable {
  /// Number of worker threads; `worker` indices are 0 ..< threadCount.
  public let threadCount: Int
  private let board = Board()

  /// Starts the threads.
  /// - Parameter stackBytes: stack of each; leaves recurse little, but C libraries like some room.
  /// - Throws: `CollectivesError.threadCreation`.
  public init(threadCount: Int, stackBytes: Int = 16 << 20) throws {
    precondition(threadCount >= 1, "\(threadCount) leaf workers; at least 1 is needed")
    self.threadCount = threadCount
    for worker in 0..<threadCount {
      do {
        try LeafPool.startThread(worker: worker, stackBytes: stackBytes, board: board)
      } catch {
        board.close()
        throw error
      }
    }
  }

  /// Workers leave once their current leaf is done.
  deinit { board.close() }

  /// Starts a round of `count` items and returns at once. The round before must have ended.
  /// - Parameter body: called on a worker thread with the worker's and the item's number.
  @MainActor
  public func run(count: Int, body: @escaping @Sendable (_ worker: Int, _ item: Int) throws -> Void) {
    precondition(board.isIdle, "a round of leaves was started before the last one had ended")
    guard count > 0 else { return board.clear() }
    run(from: LeafCounter(count: count), body: body)
  }

  /// Starts a round of the items that `source` gives, and returns at once. The round before must have ended.
  @MainActor
  func run(
    from source: any LeafSource, body: @escaping @Sendable (_ worker: Int, _ item: Int) throws -> Void
  ) {
    precondition(board.isIdle, "a round of leaves was started before the last one had ended")
    board.post(Round(source: source, workers: threadCount, body: body))
  }

  /// Whether the round has ended: every worker has put its hands down.
  /// - Throws: the first error of a worker.
  @MainActor
  public func poll() throws -> Bool {
    guard board.isIdle else { return false }
    if let error = board.takeDown() { throw error }
    return true
  }

  /// Waits until the round has ended.
  /// - Parameters:
  ///   - intervalSeconds: time between two calls of `onPoll`; the end of the round is noticed at once.
  ///   - onPoll: looks at time and signals. What it throws makes the workers stop between items, is waited
  ///     for, and is then rethrown.
  /// - Throws: the first error of a worker.
  @MainActor
  public func wait(intervalSeconds: Double = 0.005, onPoll: () throws -> Void = {}) throws {
    while try !poll() {
      do {
        try onPoll()
      } catch {
        abandon()
        board.waitUntilIdle()
        _ = board.takeDown()
        throw error
      }
      board.waitUntilIdle(atMostSeconds: intervalSeconds)
    }
  }

  /// Asks the workers to stop between items; the round then ends without the rest. ``wait(onPoll:)`` still
  /// has to be called.
  public func abandon() { board.abandon() }

  /// Items of the current (or last) round that are done: a heartbeat.
  public var completedCount: Int { board.completedCount }

  private static func startThread(worker: Int, stackBytes: Int, board: Board) throws {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, stackBytes)
    let errand = Unmanaged.passRetained(Errand(worker: worker, board: board))
    var thread = pthread_t()
    let code = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        let errand = Unmanaged<Errand>.fromOpaque(argument).takeRetainedValue()
        errand.board.serve(worker: errand.worker)
        return nil
      }, errand.toOpaque())
    guard code == 0 else {
      errand.release()
      throw CollectivesError.threadCreation(worker: worker, code: code)
    }
  }
}

/// What a new thread is handed.
private final class Errand: Sendable {
  let worker: Int
  let board: Board
  init(worker: Int, board: Board) {
    self.worker = worker
    self.board = board
  }
}

/// One round of items.
private final class Round: Sendable {
  let source: any LeafSource
  let workers: Int
  let body: @Sendable (Int, Int) throws -> Void
  let completed = Atomic<Int>(0)
  let isAbandoned = Atomic<Bool>(false)
  let firstError = Mutex<(any Error)?>(nil)

  init(source: any LeafSource, workers: Int, body: @escaping @Sendable (Int, Int) throws -> Void) {
    self.source = source
    self.workers = workers
    self.body = body
  }

  /// Takes items until none is left, or the round is abandoned, or one fails.
  func work(as worker: Int) {
    while !isAbandoned.load(ordering: .relaxed), let item = source.next(worker: worker) {
      do {
        try PhaseBoard.leaf { try body(worker, item) }
        completed.wrappingAdd(1, ordering: .relaxed)
      } catch {
        firstError.withLock { if $0 == nil { $0 = error } }
        abandon()
      }
    }
  }

  /// No worker takes another item, and none is left waiting for one.
  func abandon() {
    isAbandoned.store(true, ordering: .relaxed)
    source.close()
  }
}

/// Where the round hangs that workers look for, and where they report back.
///
/// Unchecked Sendable: every stored property is read and written under `condition` only.
private final class Board: @unchecked Sendable {
  private let condition = NSCondition()
  private var round: Round?
  private var generation = 0
  private var busyWorkers = 0
  private var lastCompleted = 0
  private var isClosed = false

  private func locked<R>(_ body: () -> R) -> R {
    condition.lock()
    defer { condition.unlock() }
    return body()
  }

  var isIdle: Bool { locked { busyWorkers == 0 } }
  var completedCount: Int { locked { round?.completed.load(ordering: .relaxed) ?? lastCompleted } }

  func clear() { locked { lastCompleted = 0 } }
  func abandon() { locked { round?.abandon() } }

  /// Lets go of the round that has ended, and of what its body holds; gives its error, once.
  func takeDown() -> (any Error)? {
    locked {
      guard let round else { return nil }
      lastCompleted = round.completed.load(ordering: .relaxed)
      self.round = nil
      return round.firstError.withLock { $0 }
    }
  }

  func post(_ round: Round) {
    locked {
      self.round = round
      busyWorkers = round.workers
      generation += 1
      condition.broadcast()
    }
  }

  func close() {
    locked {
      isClosed = true
      round?.abandon()
      condition.broadcast()
    }
  }

  func waitUntilIdle() {
    locked { while busyWorkers > 0 { condition.wait() } }
  }

  func waitUntilIdle(atMostSeconds seconds: Double) {
    let deadline = Date(timeIntervalSinceNow: seconds)
    locked { while busyWorkers > 0 && condition.wait(until: deadline) {} }
  }

  /// A worker's life: wait for a round, work, report, until closed.
  func serve(worker: Int) {
    var served = 0
    while true {
      let round: Round? = locked {
        while generation == served && !isClosed { condition.wait() }
        served = generation
        return isClosed ? nil : self.round
      }
      guard let round else { return }
      round.work(as: worker)
      locked {
        busyWorkers -= 1
        if busyWorkers == 0 { condition.broadcast() }
      }
    }
  }
}
