import CMPI

/// The messages by which ranks ask rank 0 for leaves and are answered, on a communicator of their own.
///
/// A rank has at most one request under way and asks no more once it was told that there are no more leaves;
/// rank 0 ends a round when it has told every rank. So no message outlives its round, and each carries the
/// round's number and size to prove it.
@MainActor
final class LeafDispatchChannel {
  let world: World
  /// Leaf workers of each rank.
  let threadCounts: [Int]
  /// Told to every message of the round under way.
  private var round: Int64 = 0
  private var leafCount: Int64 = 0

  private let communicator: MPI_Comm
  /// Words of a message at most: a header of four, and a leaf for each worker.
  private let width: Int
  // Kept for the life of the process: after an error a receive may still be under way.
  private let incoming: UnsafeMutablePointer<Int64>
  private let outgoing: UnsafeMutablePointer<Int64>
  private var receive: PendingReduction?
  /// Rank 0: the last answer to each rank.
  private var answers: [PendingReduction?]

  /// What a rank tells rank 0.
  struct Request: Equatable {
    let rank: Int
    let purpose: Purpose
    enum Purpose: Equatable {
      /// So many of its workers have nothing to do.
      case leaves(Int)
      /// It was asked to stop.
      case stop
    }
  }

  /// What rank 0 answers to a request for leaves.
  enum Answer: Equatable {
    case leaves([Int])
    case noMore(LeafDispatch.Ending)
  }

  private static let headerLength = 4
  private static let stopWord: Int64 = -1
  private static let completeWord: Int64 = 0
  private static let tag: Int32 = 1

  /// Every rank must call it at the same point.
  init(world: World, threadCount: Int) throws {
    self.world = world
    var counts = [Int64](repeating: 0, count: world.size)
    counts[world.rank] = Int64(threadCount)
    try world.reduce(&counts, .sum)
    threadCounts = counts.map { Int($0) }
    width = LeafDispatchChannel.headerLength + (threadCounts.max() ?? 1)
    communicator = try LeafDispatchChannel.duplicate(world)
    incoming = .allocate(capacity: width)
    incoming.initialize(repeating: 0, count: width)
    outgoing = .allocate(capacity: width * world.size)
    outgoing.initialize(repeating: 0, count: width * world.size)
    answers = world.isFirst ? Array(repeating: nil, count: world.size) : []
  }

  private static func duplicate(_ world: World) throws -> MPI_Comm {
    var copy: MPI_Comm?
    try MPICall.check("MPI_Comm_dup", rank: world.rank) { MPI_Comm_dup(world.communicator, &copy) }
    guard let copy else {
      throw CollectivesError.mpi(
        function: "MPI_Comm_dup", text: "no communicator came back", rank: world.rank)
    }
    try MPICall.check("MPI_Comm_set_errhandler", rank: world.rank) {
      MPI_Comm_set_errhandler(copy, cmpi_errors_return())
    }
    return copy
  }

  func beginRound(leafCount: Int) {
    round += 1
    self.leafCount = Int64(leafCount)
  }

  // MARK: Ranks that ask

  /// Asks rank 0 for a leaf for each of `workers` and waits for the answer.
  func ask(workers: Int, onPoll: () throws -> Void) throws -> Answer {
    let answer = try startReceiving(from: 0)
    let request = try startSending([Int64(world.rank), Int64(workers)], to: 0)
    try world.waitPolling(request, onPoll: onPoll)
    try world.waitPolling(answer, onPoll: onPoll)
    let words = try received()
    switch words[2] {
    case LeafDispatchChannel.stopWord: return .noMore(.stopped)
    case LeafDispatchChannel.completeWord: return .noMore(.complete)
    default: return .leaves((0..<Int(words[2])).map { Int(incoming[LeafDispatchChannel.headerLength + $0]) })
    }
  }

  /// Tells rank 0 that this rank was asked to stop. Not after the last answer of a round.
  func tellStop(onPoll: () throws -> Void) throws {
    let request = try startSending([Int64(world.rank), LeafDispatchChannel.stopWord], to: 0)
    try world.waitPolling(request, onPoll: onPoll)
  }

  // MARK: Rank 0

  /// The next request of any rank, nil if none is there. Call it only while a rank has not been told its
  /// last answer.
  func nextRequest() throws -> Request? {
    let pending = try receive ?? startReceiving(from: Int32(MPI_ANY_SOURCE))
    receive = pending
    guard try pending.test() else { return nil }
    receive = nil
    let words = try received()
    let purpose: Request.Purpose =
      words[3] == LeafDispatchChannel.stopWord ? .stop : .leaves(Int(words[3]))
    return Request(rank: Int(words[2]), purpose: purpose)
  }

  func answer(_ answer: Answer, to rank: Int) throws {
    // The rank would not have asked again before it had the last answer.
    if let last = answers[rank] { try world.waitPolling(last) }
    switch answer {
    case .leaves(let leaves):
      answers[rank] = try startSending([Int64(leaves.count), 0] + leaves.map { Int64($0) }, to: rank)
    case .noMore(let ending):
      let word = ending == .stopped ? LeafDispatchChannel.stopWord : LeafDispatchChannel.completeWord
      answers[rank] = try startSending([word, 0], to: rank)
    }
  }

  /// Waits until all answers are on their way.
  func flush(onPoll: () throws -> Void) throws {
    for answer in answers { if let answer { try world.waitPolling(answer, onPoll: onPoll) } }
  }

  // MARK: Messages

  private func startReceiving(from rank: Int32) throws -> PendingReduction {
    var request = cmpi_request_null()
    try MPICall.check("MPI_Irecv", rank: world.rank) {
      MPI_Irecv(
        incoming, Int32(width), cmpi_int64(), rank, LeafDispatchChannel.tag, communicator, &request)
    }
    return PendingReduction(requests: [request], function: "MPI_Irecv", rank: world.rank)
  }

  /// Sends round, size and `words`.
  private func startSending(_ words: [Int64], to rank: Int) throws -> PendingReduction {
    let message = [round, leafCount] + words
    precondition(message.count <= width, "a message of \(message.count) words, \(width) at most")
    let buffer = outgoing + rank * width
    for (index, word) in message.enumerated() { buffer[index] = word }
    var request = cmpi_request_null()
    try MPICall.check("MPI_Isend", rank: world.rank) {
      MPI_Isend(
        buffer, Int32(message.count), cmpi_int64(), Int32(rank), LeafDispatchChannel.tag, communicator,
        &request)
    }
    return PendingReduction(requests: [request], function: "MPI_Isend", rank: world.rank)
  }

  /// The header of the message that has come.
  private func received() throws -> [Int64] {
    let words = (0..<LeafDispatchChannel.headerLength).map { incoming[$0] }
    guard words[0] == round, words[1] == leafCount else {
      throw CollectivesError.dispatchDisagrees(
        rank: world.rank, expected: "round \(round) of \(leafCount) leaves",
        found: "round \(words[0]) of \(words[1]) leaves")
    }
    return words
  }
}
