import CMPI
import Foundation

/// All ranks of the job: who I am, and the calls that need everyone.
///
/// There is one world per process, made by ``run(_:)``. Its calls belong to the main thread (see
/// ``MPICall``), and each must be made by all ranks in the same order. None of them spins: they are
/// non-blocking calls of MPI, polled with short sleeps, so that leaf workers keep the cores and ``onPoll``
/// can look at time and signals while others are late.
@MainActor
public final class World {
  /// This process among all, 0 ..< `size`.
  public nonisolated let rank: Int
  /// Number of processes.
  public nonisolated let size: Int
  /// The name MPI gives this machine.
  public nonisolated let hostName: String
  /// This process among those of its machine, 0 ..< `localSize`.
  public nonisolated let localRank: Int
  /// Number of processes on this machine.
  public nonisolated let localSize: Int
  /// Called between polls of every call that waits, at most every few microseconds; what it throws ends the
  /// wait.
  public var onPoll: () throws -> Void = {}

  let communicator: MPI_Comm
  let nodeCommunicator: MPI_Comm

  /// Whether this is rank 0, which alone reads and writes what all share.
  public nonisolated var isFirst: Bool { rank == 0 }

  /// Reads rank, size and place, once MPI has been started.
  init() throws {
    communicator = cmpi_comm_world()
    let world = communicator
    try MPICall.check("MPI_Comm_set_errhandler", rank: nil) {
      MPI_Comm_set_errhandler(world, cmpi_errors_return())
    }
    let (rank, size) = try World.place(in: world, rank: nil)
    var node: MPI_Comm?
    try MPICall.check("MPI_Comm_split_type", rank: rank) {
      MPI_Comm_split_type(world, cmpi_comm_type_shared(), Int32(rank), cmpi_info_null(), &node)
    }
    guard let node else {
      throw CollectivesError.mpi(
        function: "MPI_Comm_split_type", text: "no communicator came back", rank: rank)
    }
    try MPICall.check("MPI_Comm_set_errhandler", rank: rank) {
      MPI_Comm_set_errhandler(node, cmpi_errors_return())
    }
    (localRank, localSize) = try World.place(in: node, rank: rank)
    hostName = try World.processorName(rank: rank)
    nodeCommunicator = node
    self.rank = rank
    self.size = size
  }

  private static func place(in communicator: MPI_Comm, rank known: Int?) throws -> (rank: Int, size: Int) {
    var rank: Int32 = 0
    var size: Int32 = 0
    try MPICall.check("MPI_Comm_rank", rank: known) { MPI_Comm_rank(communicator, &rank) }
    try MPICall.check("MPI_Comm_size", rank: known) { MPI_Comm_size(communicator, &size) }
    return (Int(rank), Int(size))
  }

  private static func processorName(rank: Int) throws -> String {
    var characters = [CChar](repeating: 0, count: Int(cmpi_max_processor_name()) + 1)
    var length: Int32 = 0
    try MPICall.check("MPI_Get_processor_name", rank: rank) { MPI_Get_processor_name(&characters, &length) }
    return String(decoding: characters.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
