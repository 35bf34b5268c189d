import Foundation

/// A file without a name that several processes of a machine have mapped for writing; it goes with the last of them.
///
/// Safety of `@unchecked Sendable`: who uses the bytes sees to it that nobody reads what another writes.
final class SharedMemory: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// Maps the first `byteCount` bytes of a file.
  ///
  /// Throws: `ActivationCacheError`.
  init(_ file: URL, byteCount: Int) throws {
    let descriptor = open(file.path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw ActivationCacheError.unusable(path: file.path, code: errno) }
    defer { close(descriptor) }
    let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let memory, memory != MAP_FAILED else {
      throw ActivationCacheError.unusable(path: file.path, code: errno)
    }
    base = memory
    self.byteCount = byteCount
  }

  deinit { munmap(base, byteCount) }

  /// Makes a file of zeros with all its room on the disk: where there is too little of it, that is an error here, not a
  /// signal when a page is first written.
  ///
  /// Throws: `ActivationCacheError`, and leaves no file behind.
  static func makeFile(in folder: URL, byteCount: Int) throws -> URL {
    let file = folder.appendingPathComponent("activations-\(UUID().uuidString)")
    do { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) } catch {
      throw ActivationCacheError.noFolder(path: folder.path, reason: error.localizedDescription)
    }
    let descriptor = open(file.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw ActivationCacheError.unusable(path: file.path, code: errno) }
    defer { close(descriptor) }
    var code: Int32 = 0
    repeat { code = posix_fallocate(descriptor, 0, off_t(byteCount)) } while code == EINTR
    guard code == 0 else {
      unlink(file.path)
      throw ActivationCacheError.noRoom(path: folder.path, byteCount: byteCount, code: code)
    }
    return file
  }
}
