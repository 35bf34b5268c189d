import CKernels
import Crypto
import Diagnostics
import Foundation
import Synchronization

/// Writes files so that a reader, and whoever comes after a crash, finds the old contents or the new ones,
/// never a part.
///
/// The bytes go to a temporary file in the same folder, to the disk, and then under the final name; last the
/// folder goes to the disk. A symbolic link is followed, and a device, FIFO or socket written to: neither is replaced.
public enum AtomicFile {
  private static let serial = Atomic<Int>(0)

  /// Writes `data` to `url`, replacing what is there.
  /// - Throws: `CheckpointError.system` naming the path: no such folder, no permission, disk full.
  @discardableResult
  public static func write(_ data: some ContiguousBytes, to url: URL) throws -> FileDigest {
    try write(to: url) { sink in try data.withUnsafeBytes { try sink.write($0) } }
  }

  /// Writes JSON text and a line end to `url`, replacing what is there.
  @discardableResult
  public static func write(_ json: JSON, layout: JSON.Layout = .indented, to url: URL) throws -> FileDigest {
    try write(Array((json.encoded(layout) + "\n").utf8), to: url)
  }

  /// Writes to `url` what `body` hands to the sink, replacing what is there.
  /// - Returns: size and SHA-256 of the file.
  @discardableResult
  public static func write(to url: URL, _ body: (inout FileSink) throws -> Void) throws -> FileDigest {
    let url = try target(of: url)
    guard try isReplaceable(url) else { return try writeInPlace(to: url, body) }
    let folder = url.deletingLastPathComponent()
    let temporary = URL(fileURLWithPath: temporaryPath(of: url))
    do {
      let digest = try writeInPlace(to: temporary, named: url.path, body)
      try systemCall("write", url.path) { Int(rename(temporary.path, url.path)) }
      try synchronize(folder: folder)
      return digest
    } catch {
      unlink(temporary.path)
      throw error
    }
  }

  /// Where the symbolic links at `url` lead, be there a file or not.
  private static func target(of url: URL) throws -> URL {
    var url = url
    // As many as the kernel follows.
    for _ in 0..<40 {
      guard let next = try? FileManager.default.destinationOfSymbolicLink(atPath: url.path) else { return url }
      url = URL(fileURLWithPath: next, relativeTo: url.deletingLastPathComponent()).absoluteURL
    }
    throw CheckpointError.system(action: "write", path: url.path, code: ELOOP)
  }

  /// Whether a file can take the place of what is at `url`: nothing, or a file.
  private static func isReplaceable(_ url: URL) throws -> Bool {
    var status = stat()
    guard lstat(url.path, &status) == 0 else { return true }
    let kind = status.st_mode & S_IFMT
    guard kind != S_IFDIR else { throw CheckpointError.system(action: "write", path: url.path, code: EISDIR) }
    return kind == S_IFREG
  }

  private static func temporaryPrefix(of url: URL) -> String { ".\(url.lastPathComponent).partial-" }

  /// Where a writer may put the new contents of `url` until they are whole, in the same folder; another path each time.
  public static func temporaryPath(of url: URL) -> String {
    let number = serial.add(1, ordering: .relaxed).newValue
    return url.deletingLastPathComponent().appendingPathComponent(temporaryPrefix(of: url) + "\(getpid())-\(number)")
      .path
  }

  /// Removes temporary files of writers of `url` that were killed. That nobody is writing it now is the caller's duty.
  public static func removeLeftovers(of url: URL) {
    let folder = url.deletingLastPathComponent()
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    where name.hasPrefix(temporaryPrefix(of: url)) {
      unlink(folder.appendingPathComponent(name).path)
    }
  }

  /// Removes the temporary files of all killed writers below a folder, of which the caller is the only owner.
  public static func removeLeftovers(below folder: URL) {
    for path in FileManager.default.subpaths(atPath: folder.path) ?? [] {
      let name = path.split(separator: "/").last ?? ""
      if name.hasPrefix("."), name.contains(/\.partial-\d+-\d+$/) { unlink(folder.appendingPathComponent(path).path) }
    }
  }

  /// Writes `url` directly and to the disk: for a file of a folder that is itself renamed when complete.
  @discardableResult
  static func writeInPlace(
    to url: URL, named name: String? = nil, _ body: (inout FileSink) throws -> Void
  ) throws -> FileDigest {
    var sink = try FileSink(creating: url, named: name ?? url.path)
    try body(&sink)
    return try sink.finish()
  }

  /// Waits until the names in `folder` are on the disk. One may write to a folder and not be allowed to read it: then
  /// nothing can be waited for.
  static func synchronize(folder: URL) throws {
    let flags = O_RDONLY | O_DIRECTORY
    do {
      try FileDescriptor(opening: folder.path, flags: flags, action: "open folder").synchronize()
    } catch CheckpointError.system(_, _, let code) where code == EACCES {
      return
    }
  }
}

/// Size and SHA-256 (64 hexadecimal digits) of a file that was written.
public struct FileDigest: Sendable, Equatable {
  public let byteCount: Int
  public let sha256: String

  public init(byteCount: Int, sha256: String) {
    self.byteCount = byteCount
    self.sha256 = sha256
  }
}

/// An open file that takes bytes in order and keeps their SHA-256.
public struct FileSink {
  private let descriptor: FileDescriptor
  private let name: String
  private var hash = SHA256()
  private var byteCount = 0
  /// Bytes that the disk has.
  private var settledCount = 0

  /// - Parameter name: the path that messages give.
  /// - Throws: `CheckpointError.system` if the file cannot be created.
  public init(creating url: URL, named name: String) throws {
    self.name = name
    do {
      let flags = O_WRONLY | O_CREAT | O_TRUNC
      descriptor = try FileDescriptor(opening: url.path, flags: flags, mode: 0o666, action: "write")
    } catch CheckpointError.system(let action, _, let code) {
      throw CheckpointError.system(action: action, path: name, code: code)
    }
  }

  /// Appends `bytes`.
  /// - Throws: `CheckpointError.system`, for instance when the disk is full.
  public mutating func write(_ bytes: UnsafeRawBufferPointer) throws {
    hash.update(bufferPointer: bytes)
    var rest = bytes[...]
    while !rest.isEmpty {
      let part = UnsafeRawBufferPointer(rebasing: rest)
      let count = try systemCall("write", name) {
        Foundation.write(descriptor.number, part.baseAddress, min(part.count, diskPieceSize))
      }
      rest = rest.dropFirst(count)
      byteCount += count
      if byteCount - settledCount >= diskPieceSize { settle() }
    }
  }

  /// Waits until what was written is on its way to the disk, which is a sign of progress: where all of it waited for the last
  /// call, a slow disk would look like a stall. Devices and pipes know no such thing, and need none.
  private mutating func settle() {
    _ = file_range_to_disk(descriptor.number, settledCount, byteCount - settledCount)
    settledCount = byteCount
    PhaseBoard.tick()
  }

  /// Appends `bytes`.
  public mutating func write(_ bytes: some ContiguousBytes) throws {
    try bytes.withUnsafeBytes { try write($0) }
  }

  /// Waits until everything is on the disk.
  public func finish() throws -> FileDigest {
    do {
      try descriptor.synchronize()
    } catch CheckpointError.system(let action, _, let code) {
      throw CheckpointError.system(action: action, path: name, code: code)
    }
    return FileDigest(byteCount: byteCount, sha256: hash.finalize().hexadecimal)
  }
}
