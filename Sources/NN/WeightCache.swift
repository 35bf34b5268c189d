import Checkpoints
import Diagnostics
import Foundation
import TensorCore

/// Frozen weights in another form, in a file that every rank of a node maps, so that the node holds one copy.
///
/// The file is named by all it depends on, and ends in a page with the SHA-256 of what comes before, as hexadecimal digits. The
/// first rank of a node compares that with the bytes, or writes the file under a lock, while the others wait; what is damaged is
/// made anew and never used.
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

  /// - Parameters:
  ///   - name: digest of the checkpoint, and whatever else decides the bytes.
  ///   - isChecked: whether another rank of this node has compared the bytes with their digest.
  /// Throws: `PackingError`, and what the parts throw.
  init(_ parts: [Part], name: String, extension suffix: String, directory: URL, isChecked: Bool) throws {
    let total = parts.reduce(0) { $0 + $1.room }
    let folder = directory.appendingPathComponent("packed")
    let file = folder.appendingPathComponent("\(name)-\(total).\(suffix)")
    if let found = try Self.whole(file, byteCount: total, isChecked: isChecked) {
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

  /// Nil if there is none, or none that is whole.
  private static func whole(_ file: URL, byteCount: Int, isChecked: Bool) throws -> Mapping? {
    guard let found = try Mapping(file, byteCount: byteCount) else { return nil }
    guard !isChecked else { return found }
    let digest = PhaseBoard.during("checking the packed weights") { found.digest() }
    guard digest == found.storedDigest else {
      RunLog.warning(
        "the packed weights \(file.path) are damaged: they have the digest \(digest.prefix(16))…, "
          + "\(found.storedDigest.prefix(16))… is expected; making them anew")
      unlink(file.path)
      return nil
    }
    return found
  }

  private static func make(_ parts: [Part], total: Int, file: URL) throws -> Mapping {
    let lock = open(file.path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard lock >= 0 else { throw PackingError.unusableCache(path: file.path, reason: String(cString: strerror(errno))) }
    defer { close(lock) }
    PhaseBoard.waiting { while flock(lock, LOCK_EX) != 0 && errno == EINTR {} }
    if let found = try whole(file, byteCount: total, isChecked: false) { return found }
    let size = total + Mapping.pageSize
    // Nobody else has the lock, so nobody is writing.
    AtomicFile.removeLeftovers(of: file)
    let temporary = AtomicFile.temporaryPath(of: file)
    let descriptor = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    func failure() -> PackingError {
      .unusableCache(path: temporary, reason: String(cString: strerror(errno)))
    }
    guard descriptor >= 0 else { throw failure() }
    defer { close(descriptor) }
    var isDone = false
    defer { if !isDone { unlink(temporary) } }
    // Room first: a full disk must be an error here, not a signal while packing.
    let allocated = posix_fallocate(descriptor, 0, off_t(size))
    guard allocated == 0 else {
      throw PackingError.unusableCache(path: temporary, reason: String(cString: strerror(allocated)))
    }
    let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let memory, memory != MAP_FAILED else { throw failure() }
    defer { munmap(memory, size) }
    var offset = 0
    for part in parts {
      try part.write(memory + offset)
      offset += part.room
      PhaseBoard.tick()
    }
    let digest = Array(sha256(UnsafeRawBufferPointer(start: memory, count: total)).utf8)
    (memory + total).copyMemory(from: digest, byteCount: digest.count)
    guard msync(memory, size, MS_SYNC) == 0, fsync(descriptor) == 0, rename(temporary, file.path) == 0 else {
      throw failure()
    }
    isDone = true
    guard let mapping = try Mapping(file, byteCount: total) else { throw failure() }
    return mapping
  }
}

/// A whole file, mapped read-only: bytes, and a page with their digest.
///
/// Safety of `@unchecked Sendable`: the pages are never written.
private final class Mapping: @unchecked Sendable {
  let base: UnsafeRawPointer
  private let byteCount: Int

  static let pageSize = 4096

  /// Nil if there is no such file of this size.
  init?(_ url: URL, byteCount: Int) throws {
    let descriptor = open(url.path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_size == byteCount + Self.pageSize, byteCount > 0 else {
      return nil
    }
    let memory = mmap(nil, byteCount + Self.pageSize, PROT_READ, MAP_SHARED, descriptor, 0)
    guard let memory, memory != MAP_FAILED else {
      throw PackingError.unusableCache(path: url.path, reason: String(cString: strerror(errno)))
    }
    base = UnsafeRawPointer(memory)
    self.byteCount = byteCount
  }

  /// Of the bytes as they are, and as they were written.
  func digest() -> String { sha256(UnsafeRawBufferPointer(start: base, count: byteCount)) }
  var storedDigest: String {
    String(decoding: UnsafeRawBufferPointer(start: base + byteCount, count: 64), as: UTF8.self)
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: base), byteCount + Self.pageSize) }
}
