import CMPI
import Diagnostics
import Foundation

extension World {
  /// Starts MPI, runs `body` with the world, ends MPI.
  ///
  /// Works under `mpirun` and alone (then rank 0 of 1). From a synchronous entry point on the main thread
  /// call it inside `MainActor.assumeIsolated`. MPI can be started once per process, so this can be called
  /// once.
  ///
  /// An error of `body` on one of several ranks is printed once, with rank and host, on standard error, then
  /// the whole job is ended with exit code 1 (`MPI_Abort`): the others may be waiting for this rank and would
  /// wait for ever. On a world of one rank it is rethrown. Exit codes that all ranks agree on are results,
  /// not errors: return them from `body`.
  /// - Parameter startTimeoutSeconds: ends the process if the ranks have not met by then; 0 for never.
  /// - Throws: `CollectivesError` if MPI does not start or lacks thread support; on one rank, what `body`
  ///   throws.
  public static func run<T>(startTimeoutSeconds: Double = 60, _ body: (World) throws -> T) throws -> T {
    let world = try StartWatch.during(timeoutSeconds: startTimeoutSeconds) {
      try start()
      return try World()
    }
    let result: T
    do {
      result = try body(world)
      // Ranks that are done early sleep here rather than spin in MPI_Finalize.
      try world.barrier()
    } catch {
      guard world.size == 1 else { world.abort(error) }
      Watchdog.stop()
      MPI_Finalize()
      throw error
    }
    // Watched to the end: MPI_Finalize waits for the others too.
    PhaseBoard.enter("finishing")
    try PhaseBoard.waiting {
      try MPICall.check("MPI_Finalize", rank: world.rank) { MPI_Finalize() }
    }
    Watchdog.stop()
    return result
  }

  private static func start() throws {
    let required = cmpi_thread_funneled()
    var provided: Int32 = 0
    // Open MPI would say so in twenty lines, none of which is its last.
    if let limit = ResourceLimits.read().openFiles, limit < MPILibrary.openFileCount {
      throw CollectivesError.openFiles(limit: limit, needed: MPILibrary.openFileCount)
    }
    try MPILibrary.requireTemporaryFolder()
    MPILibrary.prepare()
    try MPICall.check("MPI_Init_thread", rank: nil) { MPI_Init_thread(nil, nil, required, &provided) }
    guard provided >= required else {
      throw CollectivesError.threadLevel(required: Int(required), provided: Int(provided))
    }
  }

  /// Ends the whole job because of an error on this rank: prints it with rank and host, then `MPI_Abort`.
  ///
  /// An error that all ranks meet together (a file that none can read) should be told once. So every rank but
  /// the first waits a second, and a little longer the higher its number, before it prints: the first one's
  /// abort ends the others meanwhile. It does so by SIGTERM, which must end them even if it used to ask for a
  /// checkpoint.
  public func abort(_ error: any Error) -> Never {
    for number in [SIGTERM, SIGINT] { signal(number, SIG_DFL) }
    if rank > 0 { usleep(1_000_000 + UInt32(min(rank, 5)) * 200_000) }
    fflush(nil)
    StandardStreams.writeError("Error on rank \(rank) of \(size) (\(hostName)): \(error)")
    // Open MPI 5 drops what it has not passed on when a rank aborts.
    StandardStreams.waitForReaderOfErrors()
    MPI_Abort(communicator, 1)
    // Not reached with a conforming MPI.
    _exit(1)
  }
}
