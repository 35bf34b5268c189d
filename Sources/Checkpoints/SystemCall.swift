import Foundation

/// The one gate for system calls: runs `call`, again after an interruption, and throws the reason it failed.
///
/// - Parameter action: what was being done, as it fits between "cannot" and the path.
/// - Throws: `CheckpointError.system` with the value of `errno`.
@discardableResult
func systemCall(_ action: String, _ path: String, _ call: () -> Int) throws -> Int {
  while true {
    errno = 0
    let result = call()
    if result >= 0 { return result }
    let code = errno
    if code != EINTR { throw CheckpointError.system(action: action, path: path, code: code) }
  }
}

/// An open file descriptor, closed when the last reference goes.
final class FileDescriptor: Sendable {
  let number: Int32
  let path: String

  /// - Throws: `CheckpointError.system` naming `path`.
  init(opening path: String, flags: Int32, mode: mode_t = 0, action: String) throws {
    self.path = path
    number = Int32(try systemCall(action, path) { Int(open(path, flags | O_CLOEXEC, mode)) })
  }

  deinit { close(number) }

  /// Waits until the contents are on the disk. Folders of a few file systems cannot be synchronised (EINVAL):
  /// nothing more can be done for them.
  func synchronize() throws {
    do {
      try systemCall("write to disk", path) { Int(fsync(number)) }
    } catch CheckpointError.system(_, _, let code) where code == EINVAL || code == ENOTSUP {
      return
    }
  }
}
