import Diagnostics
import Foundation
import Synchronization

/// A signal's wish that the run save and leave: SIGUSR1 (what `mpirun` forwards), SIGTERM, SIGINT, and SIGHUP of a terminal
/// that was closed.
///
/// The handler sets a flag and nothing else. The flag travels with the control words of the next reduction, so that all
/// ranks stop after the same step whichever of them got the signal. A second SIGTERM or SIGINT ends the process at once.
public enum StopRequest {
  private static let count = Atomic<Int>(0)

  public static var isPending: Bool { count.load(ordering: .relaxed) > 0 }

  private static let ignoresHangup = Atomic<Bool>(false)

  /// To be called first: finds out whether SIGHUP is to be ignored, as `nohup` wants it, before MPI takes the signal for
  /// itself.
  public static func prepare() {
    let status = KernelFile.text("/proc/self/status") ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("SigIgn:") }
    let mask = line?.split(whereSeparator: \.isWhitespace).last.flatMap { UInt64($0, radix: 16) } ?? 0
    ignoresHangup.store(mask >> (SIGHUP - 1) & 1 == 1, ordering: .relaxed)
  }

  /// Installs the handlers.
  public static func listen() {
    for number in [SIGUSR1, SIGTERM, SIGINT, SIGHUP] {
      signal(number) { number in
        // A closed terminal may send SIGHUP twice, from its shell and from the system.
        let isLate = StopRequest.count.add(1, ordering: .relaxed).newValue > 1
        if isLate, number != SIGUSR1, number != SIGHUP { _exit(128 + number) }
      }
    }
    if ignoresHangup.load(ordering: .relaxed) { signal(SIGHUP, SIG_IGN) }
  }
}
