import Diagnostics
import Foundation
import Glibc

/// An advisory exclusive lock on a file, let go when the scope ends or the process dies.
enum FileLock {
  /// Waits for the lock on `url` (made if missing) and runs `body` with it.
  ///
  /// - Throws: `FileLock.Failure` when the file cannot be made or locked; whatever `body` throws.
  static func holding<Result>(_ url: URL, _ body: () throws -> Result) throws -> Result {
    let descriptor = open(url.path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw Failure(reason: String(cString: strerror(errno))) }
    defer { close(descriptor) }
    // The holder may belong to another job and take its time: that is no stall of ours.
    try PhaseBoard.waiting(for: .outside) {
      while flock(descriptor, LOCK_EX) != 0 {
        guard errno == EINTR else { throw Failure(reason: String(cString: strerror(errno))) }
      }
    }
    return try body()
  }

  struct Failure: Error {
    let reason: String
  }
}
