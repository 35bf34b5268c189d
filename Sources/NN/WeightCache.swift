import Diagnostics
import Foundation
import TensorCore

/// Frozen weights in another form, in a file that every rank of a node maps, so that the node holds one copy.
///
/// The file is named by all it depends on; whoever comes first writes it under a lock while the others wait.
///
/// Safety of `@unchecked Sendable`: the pages are never written.
final class WeightCache: @unchecked Sendable {
  /// One weight: its bytes, and how they are made.
  struct Part {
    let byteCount: Int
    let write: (UnsafeMutableRawPointer) throws -> Void

    /// Page-aligned room.
    fileprivate var room: Int { (byteCount + 4095) / 4096 * 4096 }
  }

  /// Where each part lies.
  let starts: [UnsafeRawPointer]
  private let mapping: Mapping

  /// - Parameter name: digest of the checkpoint, and whatever else decides the bytes.
  /// Throws: `PackingError`, and what the parts throw.
  init(_ parts: [Part], name: String, extension suffix: String, directory: URL) throws {
    let total = parts.reduce(0) { $0 + $1.room }
    let folder = directory.appendingPathComponent("packed")
    let file = folder.appendingPathComponent("\(name)-\(total).\(suffix)")
    if let found = try Mapping(file, byteCount: total) {
      mapping = found
    } else {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      mapping = try Self.make(parts, total: total, file: file)
    }
    var starts: [UnsafeRawPointer] = []
    var offset = 0
    for part in parts {
      starts.append(mapping.base + offset)
      offset += part.room
    }
    self.starts = starts
  }

  private static func make(_ parts: [Part], total: Int, file: URL) throws -> Mapping {
    let lock = open(file.path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard lock >= 0 else { throw PackingError.unusableCache(path: file.path, reason: String(cString: strerror(errno))) }
    defer { close(lock) }
    PhaseBoard.waiting { while flock(lock, LOCK_EX) != 0 && errno == EINTR {} }
    if let found = try Mapping(file, byteCount: total) { return found }
    let temporary = file.path + ".partial-\(getpid())"
    let descriptor = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    func failure() -> PackingError {
      .unusableCache(path: temporary, reason: String(cString: strerror(errno)))
    }
    guard descriptor >= 0 else { throw failure() }
    defer { close(descriptor) }
    var isDone = false
    defer { if !isDone { unlink(temporary) } }
    // Room first: a full disk must be an error here, not a signal while packing.
    let allocated = posix_fallocate(descriptor, 0, off_t(total))
    guard allocated == 0 else {
      throw PackingError.unusableCache(path: temporary, reason: String(cString: strerror(allocated)))
    }
    let memory = mmap(nil, total, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let memory, memory != MAP_FAILED else { throw failure() }
    defer { munmap(memory, total) }
    var offset = 0
    for part in parts {
      try part.write(memory + offset)
      offset += part.room
      PhaseBoard.tick()
    }
    guard msync(memory, total, MS_SYNC) == 0, fsync(descriptor) == 0, rename(temporary, file.path) == 0 else {
      throw failure()
    }
    isDone = true
    guard let mapping = try Mapping(file, byteCount: total) else { throw failure() }
    return mapping
  }
}

/// A whole file, mapped read-only.
///
/// Safety of `@unchecked Sendable`: the pages are never written.
private final class Mapping: @unchecked Sendable {
  let base: UnsafeRawPointer
  private let byteCount: Int

  /// Nil if there is no such file of this size.
  init?(_ url: URL, byteCount: Int) throws {
    let descriptor = open(url.path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_size == byteCount, byteCount > 0 else { return nil }
    guard let memory = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0), memory != MAP_FAILED else {
      throw PackingError.unusableCache(path: url.path, reason: String(cString: strerror(errno)))
    }
    base = UnsafeRawPointer(memory)
    self.byteCount = byteCount
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: base), byteCount) }
}
