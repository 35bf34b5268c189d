import Diagnostics
import Foundation

/// Watches the start of MPI, before the ranks know each other and the ``Watchdog`` can run: MPI waits for ever where a host does
/// not answer. A thread that sleeps says after the time-out what such a wait comes from, and leaves.
enum StartWatch {
  /// - Parameter timeoutSeconds: 0 for never.
  static func during<T>(timeoutSeconds: Double, _ body: () throws -> T) rethrows -> T {
    guard timeoutSeconds > 0 else { return try body() }
    let over = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      guard over.wait(timeout: .now() + timeoutSeconds) == .timedOut else { return }
      StandardStreams.writeError("peft-dist: error: \(sentence(timeoutSeconds))")
      VerdictFile.make()
      StandardStreams.waitForReaderOfErrors()
      _exit(1)
    }
    defer { over.signal() }
    return try body()
  }

  private static func sentence(_ seconds: Double) -> String {
    let environment = ProcessInfo.processInfo.environment
    let rank = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"].compactMap { environment[$0] }.first
    let size = ["OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"].compactMap { environment[$0] }.first
    let interfaces = WatchdogSocket.outwardInterfaces()
    let chosen = environment["OMPI_MCA_btl_tcp_if_include"].map { "; btl_tcp_if_include is \($0)" } ?? ""
    return "rank \(rank ?? "?") of \(size ?? "?") (\(ProcessInfo.processInfo.hostName)) has waited "
      + "\(Int(seconds.rounded(.up))) s for the others while MPI started. A rank may not have come up, a firewall may stand "
      + "between the hosts, or MPI may try an address that leads nowhere: a bridge such as docker0 has the same one on every host. "
      + "Interfaces here: \(interfaces.isEmpty ? "none but loopback" : interfaces.joined(separator: ", "))\(chosen). Name the one "
      + "that connects the hosts, or its network: mpirun --mca btl_tcp_if_include 10.0.0.0/24 --mca oob_tcp_if_include 10.0.0.0/24"
  }
}
