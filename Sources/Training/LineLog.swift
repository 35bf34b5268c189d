import Checkpoints
import Diagnostics
import Foundation

/// A file of lines that survives a full disk: what cannot be written now is kept and written with the next line.
///
/// Owned by the main thread of rank 0. A line is on the file whole or will be overwritten from its start.
final class LineLog {
  private let url: URL
  private var descriptor: Int32 = -1
  private var offset: off_t = 0
  private var pending: [UInt8] = []
  private var hasWarned = false

  /// Opens `url`, keeping the lines for which `keep` is true: what a killed run wrote after its last checkpoint goes, and
  /// so does a last line that it did not finish. Any other line that cannot be read is told of and kept as it is.
  init(_ url: URL, header: String? = nil, keep: (JSONObject) -> Bool) throws {
    self.url = url
    var bytes: [UInt8] = []
    if let header { bytes += Array(header.utf8) + [10] }
    var damaged: [Int] = []
    for line in try LineFile(url).lines {
      if case .object(let members)? = try? JSON.decode(line.bytes, origin: url.path) {
        if keep(JSONObject(members, origin: url.path)) { bytes += line.bytes + [10] }
      } else if line.isWhole {
        damaged.append(line.number)
        bytes += line.bytes + [10]
      }
    }
    if !damaged.isEmpty { RunLog.warning("\(url.path), \(LineFile.sentence(damaged: damaged)); kept as found") }
    try AtomicFile.write(bytes, to: url)
    open()
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  private func open() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = Foundation.open(url.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    offset = descriptor >= 0 ? lseek(descriptor, 0, SEEK_END) : 0
  }

  func append(_ line: String) {
    pending += Array(line.utf8) + [10]
    flush()
  }

  /// Tries to write what is pending; on failure warns once and keeps it.
  func flush() {
    guard !pending.isEmpty else { return }
    var status = stat()
    // The file was removed or its folder replaced: begin a new one.
    if descriptor < 0 || fstat(descriptor, &status) != 0 || status.st_nlink == 0 { open() }
    while !pending.isEmpty {
      let written = descriptor < 0 ? -1 : pwrite(descriptor, pending, pending.count, offset)
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else {
        if !hasWarned {
          RunLog.warning("cannot write \(url.path): \(String(cString: strerror(errno))); its lines are kept in memory")
        }
        hasWarned = true
        return
      }
      offset += off_t(written)
      pending.removeFirst(written)
    }
    if hasWarned { RunLog.notice("\(url.path) can be written again") }
    hasWarned = false
  }
}
