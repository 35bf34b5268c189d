import Diagnostics

/// What can go wrong between ranks for outside causes.
public enum CollectivesError: DescribedError {
  /// An MPI call returned an error code; `text` is MPI's own description, `rank` is nil before ranks are
  /// known.
  case mpi(function: String, text: String, rank: Int?)
  /// The MPI library offers less thread support than the program needs.
  case threadLevel(required: Int, provided: Int)
  /// MPI has no folder for its session.
  case temporaryFolder(path: String, reason: String)
  /// Fewer files may be open than MPI opens at its start.
  case openFiles(limit: Int, needed: Int)
  /// Gradients did not fit their windows although these had just been set from their maxima: ranks disagree.
  case windowsDisagree(tensor: Int, exponent: Int32)
  /// The system refused a thread.
  case threadCreation(worker: Int, code: Int32)
  /// A checkpoint's exponents do not belong to these tensors.
  case exponentCount(expected: Int, found: Int)
  /// The ranks did not all arrive where the watchdog is started.
  case meetingFailed(seconds: Double)
  /// A rank asks for leaves of another round than this one, or gives them.
  case dispatchDisagrees(rank: Int, expected: String, found: String)

  public var description: String {
    switch self {
    case .mpi(let function, let text, let rank):
      let place = rank.map { "rank \($0)" } ?? "a rank not numbered yet"
      return "\(function) failed on \(place): \(text). Check that every rank runs the same program version "
        + "and that the hosts reach each other."
    case .openFiles(let limit, let needed):
      return "only \(limit) files may be open, and MPI needs \(needed) at its start: raise the limit (ulimit -n 1024)"
    case .temporaryFolder(let path, let reason):
      return
        "cannot write to the folder for temporary files '\(path)', which MPI needs: \(reason); name another one (TMPDIR)"
    case .threadLevel(let required, let provided):
      return "Starting MPI: thread level MPI_THREAD_FUNNELED (\(required)) is needed, this MPI library gives "
        + "\(provided). Use an MPI built with thread support."
    case .windowsDisagree(let tensor, let exponent):
      return "Adding gradients: trainable tensor \(tensor) did not fit its window 2^\(exponent), which had "
        + "just been set from its own maxima. A leaf gave another gradient when computed again; ranks may run "
        + "different kernels (see `peft-dist doctor`)."
    case .threadCreation(let worker, let code):
      return
        "Starting leaf worker \(worker): pthread_create failed with code \(code). Lower --threads-per-rank "
        + "or raise the limit on processes (ulimit -u)."
    case .exponentCount(let expected, let found):
      return "Restoring the exact sum: the checkpoint holds \(found) exponents, this run trains \(expected) "
        + "tensors. Resume with the method and targets the checkpoint was written with."
    case .dispatchDisagrees(let rank, let expected, let found):
      return "Handing out leaves: rank \(rank) is in \(expected), a message told it of \(found). Check that "
        + "every rank runs the same program version with the same options on the same data."
    case .meetingFailed(let seconds):
      return "Starting the watchdog: not all ranks arrived within \(seconds) s. One may be dead, stopped or "
        + "very slow to start; look at its host, or give --stall-timeout-seconds more."
    }
  }
}
