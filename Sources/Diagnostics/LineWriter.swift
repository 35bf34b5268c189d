import Foundation
import Synchronization

/// The one door to standard error: whole lines from any thread, and at most one status line that is redrawn
/// in place.
///
/// A line that arrives while a status line stands (on a terminal) takes its place, and the status line is
/// drawn again below it. Each line goes out in one `write`, so lines of several processes on one terminal
/// do not mix.
final class LineWriter: Sendable {
  static let standardError = LineWriter(descriptor: STDERR_FILENO)

  private let descriptor: Int32
  /// The status line now on the terminal, without its line end; nil when there is none.
  private let statusLine = Mutex<String?>(nil)
  /// Carriage return, then "erase to the end of the line" (ECMA-48, EL).
  private static let erase = "\r\u{1B}[K"

  /// The descriptor stays open for as long as the writer is used.
  init(descriptor: Int32) { self.descriptor = descriptor }

  /// Writes a line and its line end.
  func write(line: String) {
    statusLine.withLock { status in
      guard let status else { return put(line + "\n") }
      put(Self.erase + line + "\n" + status)
    }
  }

  /// Draws the status line, over the one before; nil ends it, and what was drawn last stays on the
  /// terminal.
  func show(status: String?) {
    statusLine.withLock { current in
      if let status { put(Self.erase + status) } else if current != nil { put("\n") }
      current = status
    }
  }

  /// Columns of the terminal written to, or nil if it is none.
  ///
  /// Under `mpirun` the ranks write into a pipe; `launch.sh`, which knows the terminal, passes its width on
  /// in `PEFT_DIST_TERMINAL_COLUMNS`.
  var terminalColumns: Int? {
    if isatty(descriptor) == 1 {
      var size = winsize()
      guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
      return Int(size.ws_col)
    }
    let passedOn = ProcessInfo.processInfo.environment["PEFT_DIST_TERMINAL_COLUMNS"]
    return passedOn.flatMap(Int.init).flatMap { (20...1000).contains($0) ? $0 : nil }
  }

  /// Writes all bytes; a closed or broken standard error is nothing to fail for.
  private func put(_ text: String) {
    var bytes = ArraySlice(Array(text.utf8))
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
  }
}
