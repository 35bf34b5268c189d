import Foundation

/// The right to write into a run folder, held by one process at a time.
///
/// The lock is advisory (`flock` on `.lock` in the folder) and belongs to the open file: it ends with this
/// object or with the process, however that ends, so a killed run blocks nobody. The file itself stays.
public final class RunFolderLock: Sendable {
  private let descriptor: FileDescriptor

  /// Takes the lock of `folder`, which is made if need be.
  ///
  /// - Throws: `CheckpointError.locked`, naming folder and holder, if another process has it; `.system` if
  ///   the folder cannot be written.
  public init(_ folder: URL) throws {
    try makeFolder(folder)
    let url = folder.appendingPathComponent(".lock")
    let file = try FileDescriptor(
      opening: url.path, flags: O_RDWR | O_CREAT, mode: 0o666, action: "open lock file")
    do {
      try systemCall("lock", url.path) { Int(flock(file.number, LOCK_EX | LOCK_NB)) }
    } catch CheckpointError.system(_, _, let code) where code == EWOULDBLOCK {
      throw CheckpointError.locked(folder: folder.path, holder: Self.holder(in: file))
    }
    descriptor = file
    try writeHolder()
  }

  /// What the holder wrote about itself.
  private static func holder(in file: FileDescriptor) -> String {
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = pread(file.number, &bytes, bytes.count, 0)
    let text = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
      .trimmingCharacters(in: .whitespacesAndNewlines)
    return text.isEmpty ? "unknown" : text
  }

  private func writeHolder() throws {
    let text = Array("process \(getpid()) on \(ProcessInfo.processInfo.hostName)\n".utf8)
    try systemCall("write", descriptor.path) { Int(ftruncate(descriptor.number, 0)) }
    try systemCall("write", descriptor.path) { pwrite(descriptor.number, text, text.count, 0) }
  }
}
