import CKernels
import Diagnostics
import Foundation
import Synchronization

/// The bytes of a file, mapped read-only into memory for as long as this object lives.
///
/// Pages are read when first touched and shared by all processes of a node. The file must not be shortened
/// meanwhile: an access beyond its end ends the process, with a sentence that names the file. Replacing it by
/// `rename`, as `AtomicFile` does, is harmless.
///
/// Safety of `@unchecked Sendable`: the memory is never written.
final class MappedFile: @unchecked Sendable {
  private static let lock = Mutex<Void>(())

  let path: String
  /// Valid only while this object lives: who does not hold it in a property uses `withBytes`.
  let bytes: UnsafeRawBufferPointer

  /// - Throws: `CheckpointError`: not there, not readable, a folder or device instead of a file.
  init(_ url: URL) throws {
    path = url.path
    let descriptor = try FileDescriptor(opening: path, flags: O_RDONLY | O_NONBLOCK, action: "open")
    var status = stat()
    try systemCall("look at", path) { Int(fstat(descriptor.number, &status)) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw CheckpointError.wrongKind(path: path, expected: "a file", found: FileContents.name(of: status.st_mode))
    }
    guard status.st_size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    let size = Int(status.st_size)
    let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor.number, 0)
    guard let address, address != MAP_FAILED else {
      throw CheckpointError.system(action: "map into memory", path: path, code: errno)
    }
    bytes = UnsafeRawBufferPointer(start: address, count: size)
    Self.lock.withLock { _ in mapped_file_begin(address, size, path) }
  }

  /// Calls `body` with the contents, which are there until it returns.
  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try withExtendedLifetime(self) { try body(bytes) }
  }

  deinit {
    guard let address = bytes.baseAddress else { return }
    Self.lock.withLock { _ in mapped_file_end(address) }
    munmap(UnsafeMutableRawPointer(mutating: address), bytes.count)
  }
}
