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

/// Writing a file so that it is there whole or not at all.
enum AtomicFile {
  /// Writes to a temporary file beside `url`, forces it to disk and renames it.
  ///
  /// - Throws: `FileLock.Failure`.
  static func write(_ data: Data, to url: URL) throws {
    let temporary = url.appendingPathExtension("tmp.\(getpid())")
    let descriptor = open(temporary.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileLock.Failure(reason: String(cString: strerror(errno))) }
    var failure: Int32 = 0
    data.withUnsafeBytes { raw in
      var done = 0
      while done < raw.count {
        let written = Glibc.write(descriptor, raw.baseAddress?.advanced(by: done), raw.count - done)
        if written < 0 && errno == EINTR { continue }
        guard written > 0 else {
          failure = errno
          return
        }
        done += written
      }
    }
    if failure == 0 && fsync(descriptor) != 0 { failure = errno }
    if close(descriptor) != 0 && failure == 0 { failure = errno }
    if failure == 0 && rename(temporary.path, url.path) != 0 { failure = errno }
    guard failure == 0 else {
      unlink(temporary.path)
      throw FileLock.Failure(reason: String(cString: strerror(failure)))
    }
  }
}
