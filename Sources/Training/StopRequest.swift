import Foundation
import Synchronization

/// A signal's wish that the run save and leave: SIGUSR1 (what `mpirun` forwards), SIGTERM, SIGINT.
///
/// The handler sets a flag and nothing else. The flag travels with the control words of the next reduction, so that all
/// ranks stop after the same step whichever of them got the signal. A second signal ends the process at once.
public enum StopRequest {
  private static let count = Atomic<Int>(0)

  public static var isPending: Bool { count.load(ordering: .relaxed) > 0 }

  /// Installs the handlers.
  public static func listen() {
    for number in [SIGUSR1, SIGTERM, SIGINT] {
      signal(number) { number in
        if StopRequest.count.add(1, ordering: .relaxed).newValue > 1, number != SIGUSR1 { _exit(128 + number) }
      }
    }
  }
}
