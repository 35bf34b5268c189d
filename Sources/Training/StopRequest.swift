import CKernels
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

  /// Installs the handlers.
  public static func listen() {
    for number in [SIGUSR1, SIGTERM, SIGINT, SIGHUP] {
      signal(number) { number in
        // A closed terminal may send SIGHUP twice, from its shell and from the system.
        let isLate = StopRequest.count.add(1, ordering: .relaxed).newValue > 1
        if isLate, number != SIGUSR1, number != SIGHUP { _exit(128 + number) }
      }
    }
    // As `nohup` wants it.
    if process_ignored_hangup() == 1 { signal(SIGHUP, SIG_IGN) }
  }
}
