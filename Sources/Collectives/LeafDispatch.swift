import Diagnostics
import Foundation

/// Hands the leaves of a job to whatever rank has a hand free, so that a slow or shared node holds nobody up.
///
/// Every worker of the job gets its first leaf by a fixed rule, without a message. After that a rank whose
/// workers have nothing to do asks rank 0, which hands out the rest one by one; rank 0's own workers take
/// from the same list. Nobody gets leaves in advance, so a slow rank holds at most one per worker. Main
/// threads compute no leaves: they ask and answer, and sleep in between.
///
/// Who computes what depends on timing. What is computed must not: add results up with ``ExactSum`` or as
/// integers.
@MainActor
public final class LeafDispatch {
  /// How a round ended; the same on all ranks.
  public enum Ending: Sendable, Equatable {
    /// Every leaf has been computed by some rank.
    case complete
    /// Some rank was asked to stop, and leaves were left out.
    case stopped
  }

  public let world: World?
  public let workers: LeafPool
  /// Leaves that the workers of this rank took in the last round, ascending.
  public private(set) var leavesComputedHere: [Int] = []
  /// Leaves handed out so far in the round under way: of the whole job on rank 0, of this rank elsewhere.
  public var handedOutCount: Int { progress() }

  private var channel: LeafDispatchChannel?
  private var progress: () -> Int = { 0 }

  /// Of the last round on rank 0: seconds a worker took for a leaf.
  private var leafSeconds = 0.0

  /// Time between two calls of `onPoll` where there is nothing to answer.
  static let pollSeconds = 0.005

  /// - Parameter world: nil in programs that run no MPI.
  public init(world: World?, workers: LeafPool) {
    self.world = world
    self.workers = workers
  }

  /// Computes the leaves of one round, on all ranks together; every rank must call it with the same `order`.
  ///
  /// Returns when this rank will get no more leaves and its workers are idle; on rank 0, when besides no
  /// other rank will ask for any.
  ///
  /// - Parameters:
  ///   - order: numbers of the leaves, the most expensive first.
  ///   - shouldStop: whether this rank has been asked to stop. Leaves under way are finished; the rest are
  ///     left out on all ranks, unless all have been handed out already: then the round is complete.
  ///   - onPoll: called every few milliseconds or more often; what it throws ends the round on this rank, and
  ///     in a job of several ranks only ending the job is possible then.
  ///   - body: called on worker threads of the rank that got the leaf.
  /// - Throws: the first error of a worker of this rank, what `onPoll` throws, `CollectivesError`.
  public func run(
    order: [Int], shouldStop: () -> Bool = { false }, onPoll: () throws -> Void = {},
    body: @escaping @Sendable (_ worker: Int, _ leaf: Int) throws -> Void
  ) throws -> Ending {
    guard let channel = try connected() else {
      return try runAlone(order: order, shouldStop: shouldStop, onPoll: onPoll, body: body)
    }
    channel.beginRound(leafCount: order.count)
    let hands = LeafDispatch.hands(threadCounts: channel.threadCounts, leafCount: order.count)
    let own = zip(hands, order).filter { $0.0 == channel.world.rank }.map { $0.1 }
    let isOver = hands.count == order.count
    func poll() throws {
      try channel.world.onPoll()
      try onPoll()
    }
    return try endingWorkersOnError {
      guard channel.world.isFirst else {
        let mailbox = LeafMailbox(leaves: own, isFinished: isOver)
        start(mailbox, progress: { mailbox.taken.count }, body)
        defer { leavesComputedHere = mailbox.taken.sorted() }
        return try ask(channel, for: mailbox, isOver: isOver, shouldStop: shouldStop, onPoll: poll)
      }
      let ledger = LeafLedger(
        own: own, shared: order.dropFirst(hands.count), handedOut: hands.count - own.count)
      start(ledger, progress: { ledger.handedOut }, body)
      defer { leavesComputedHere = ledger.taken.sorted() }
      return try serve(channel, from: ledger, isOver: isOver, shouldStop: shouldStop, onPoll: poll)
    }
  }

  /// The rank that gets each of the first leaves of a round by rule: as many as there are workers. Every rank must ask.
  public func firstHands(leafCount: Int) throws -> [Int] {
    let threadCounts = try connected()?.threadCounts ?? [workers.threadCount]
    return LeafDispatch.hands(threadCounts: threadCounts, leafCount: leafCount)
  }

  /// The rank of each of the first leaves of a round: ranks in turn, as long as they have workers left.
  static func hands(threadCounts: [Int], leafCount: Int) -> [Int] {
    var hands: [Int] = []
    for thread in 0..<(threadCounts.max() ?? 0) {
      for (rank, count) in threadCounts.enumerated() where count > thread && hands.count < leafCount {
        hands.append(rank)
      }
    }
    return hands
  }

  /// Rank 0's sleep between two looks for requests.
  ///
  /// A look costs about c = 15 µs of one hand, a sleep p delays each leaf of the n hands elsewhere by p / 2
  /// on average. With leaves of L seconds the loss c / p + n p / (2 L) is least at p = sqrt(2 c L / n).
  static func servingPauseMicroseconds(leafSeconds: Double, handsElsewhere: Int) -> UInt32 {
    let best = (2 * 15e-6 * leafSeconds / Double(max(1, handsElsewhere))).squareRoot()
    return UInt32(min(max(best * 1e6, 200), 2000))
  }

  /// The channel to the other ranks, opened in the first round; nil without any.
  private func connected() throws -> LeafDispatchChannel? {
    guard let world, world.size > 1 else { return nil }
    if let channel { return channel }
    let opened = try LeafDispatchChannel(world: world, threadCount: workers.threadCount)
    channel = opened
    return opened
  }

  private func start(
    _ source: any LeafSource, progress: @escaping () -> Int,
    _ body: @escaping @Sendable (Int, Int) throws -> Void
  ) {
    self.progress = progress
    workers.run(from: source, body: body)
  }

  /// No worker goes on after the round has failed.
  private func endingWorkersOnError<R>(_ round: () throws -> R) throws -> R {
    do { return try round() } catch {
      workers.abandon()
      try? workers.wait()
      throw error
    }
  }
}

// MARK: The three parts a rank can play

extension LeafDispatch {
  private func runAlone(
    order: [Int], shouldStop: () -> Bool, onPoll: () throws -> Void,
    body: @escaping @Sendable (Int, Int) throws -> Void
  ) throws -> Ending {
    let ledger = LeafLedger(shared: order[...])
    start(ledger, progress: { ledger.handedOut }, body)
    defer { leavesComputedHere = ledger.taken.sorted() }
    return try finish(ledger, shouldStop: shouldStop, onPoll: onPoll)
  }

  /// Waits for the workers of the rank that has the ledger.
  private func finish(
    _ ledger: LeafLedger, shouldStop: () -> Bool, onPoll: () throws -> Void
  ) throws -> Ending {
    try workers.wait(intervalSeconds: LeafDispatch.pollSeconds) {
      if shouldStop() { ledger.stop() }
      try onPoll()
    }
    return ledger.ending
  }

  /// Rank 0: answers until every other rank has been told that there are no more leaves.
  private func serve(
    _ channel: LeafDispatchChannel, from ledger: LeafLedger, isOver: Bool, shouldStop: () -> Bool,
    onPoll: () throws -> Void
  ) throws -> Ending {
    let start = DispatchTime.now().uptimeNanoseconds
    let handCount = channel.threadCounts.reduce(0, +)
    let pause = LeafDispatch.servingPauseMicroseconds(
      leafSeconds: leafSeconds, handsElsewhere: handCount - channel.threadCounts[0])
    var askingRanks = isOver ? 0 : channel.world.size - 1
    var isWaiting = false
    defer { if isWaiting { PhaseBoard.endWaiting() } }
    while askingRanks > 0 && !ledger.isClosed {
      if shouldStop() { ledger.stop() }
      try onPoll()
      if try !isWaiting && workers.poll() {
        // Nothing to do here but to answer: from now on progress is up to the others.
        PhaseBoard.beginWaiting()
        isWaiting = true
      }
      guard let request = try channel.nextRequest() else {
        usleep(isWaiting ? 200 : pause)
        continue
      }
      switch request.purpose {
      case .stop: ledger.stop()
      case .leaves(let count):
        let leaves = ledger.take(atMost: count)
        if leaves.isEmpty { askingRanks -= 1 }
        try channel.answer(leaves.isEmpty ? .noMore(ledger.ending) : .leaves(leaves), to: request.rank)
      }
    }
    if !ledger.isClosed { try channel.flush(onPoll: onPoll) }
    if ledger.handedOut >= handCount {
      let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
      leafSeconds = seconds * Double(handCount) / Double(ledger.handedOut)
    }
    return try finish(ledger, shouldStop: shouldStop, onPoll: onPoll)
  }

  /// The other ranks: asks whenever workers have nothing to do, until told that there are no more leaves.
  private func ask(
    _ channel: LeafDispatchChannel, for mailbox: LeafMailbox, isOver: Bool, shouldStop: () -> Bool,
    onPoll: () throws -> Void
  ) throws -> Ending {
    var ending: Ending? = isOver ? .complete : nil
    var stopIsTold = false
    while ending == nil && !mailbox.isClosed {
      try onPoll()
      if !stopIsTold && shouldStop() {
        try channel.tellStop(onPoll: onPoll)
        stopIsTold = true
      }
      let hungry = mailbox.hungryWorkers(waitingAtMostSeconds: LeafDispatch.pollSeconds)
      guard hungry > 0 else { continue }
      switch try channel.ask(workers: hungry, onPoll: onPoll) {
      case .leaves(let leaves): mailbox.put(leaves)
      case .noMore(let told): ending = told
      }
    }
    if ending == .stopped { mailbox.close() } else { mailbox.finish() }
    try workers.wait(intervalSeconds: LeafDispatch.pollSeconds, onPoll: onPoll)
    return ending ?? .complete
  }
}
