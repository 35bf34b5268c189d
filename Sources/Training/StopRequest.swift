import CKernels
import Foundation
import Synchronization

/// A signal's wish that the run save and leave: SIGUSR1 (what `mpirun` forwards), SIGTERM, SIGINT, and SIGHUP of a terminal
/// that was closed.
///
/// As long as there is nothing to save, in a start that may take minutes, the handler ends the process. After that it sets a
/// flag and nothing else, which is looked at every few milliseconds. The flag travels with the control words of the next
/// reduction, so that all ranks stop after the same step whichever of them got the signal. A second SIGTERM or SIGINT ends the
/// process at once.
public enum StopRequest {
  private static let count = Atomic<Int>(0)
  private static let isHandled = Atomic<Bool>(false)

  public static var isPending: Bool { count.load(ordering: .relaxed) > 0 }

  /// From now on there is something to save, and somebody who looks at ``isPending``.
  public static func handle() { isHandled.store(true, ordering: .sequentiallyConsistent) }

  /// Installs the handlers.
  public static func listen() {
    for number in [SIGUSR1, SIGTERM, SIGINT, SIGHUP] {
      signal(number) { number in
        if !StopRequest.isHandled.load(ordering: .relaxed) { StopRequest.leave() }
        // A closed terminal may send SIGHUP twice, from its shell and from the system.
        let isLate = StopRequest.count.add(1, ordering: .relaxed).newValue > 1
        if isLate, number != SIGUSR1, number != SIGHUP { _exit(128 + number) }
      }
    }
    // As `nohup` wants it.
    if process_ignored_hangup() == 1 { signal(SIGHUP, SIG_IGN) }
  }

  /// In a handler: nothing but system calls.
  private static func leave() -> Never {
    let text: StaticString = "peft-dist: stopped as a signal asked, with nothing yet to save\n"
    _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
    _exit(75)
  }
}
