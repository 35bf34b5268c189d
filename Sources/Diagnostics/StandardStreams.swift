@preconcurrency import Foundation

/// The standard streams as a command finds and leaves them.
public enum StandardStreams {
  /// What was asked for could not be written to standard output.
  public struct Failure: DescribedError, Equatable {
    public let code: Int32
    public var description: String {
      "cannot write to standard output: " + (code == 0 ? "a write failed" : String(cString: strerror(code)))
        + "; what was printed is not complete"
    }
  }

  /// To be called first: a reader that goes away is no reason to die (SIGPIPE becomes an error of the write), and a closed
  /// stream stays one on which nothing can be written, rather than becoming the next file that is opened.
  public static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 {
      // The lowest free number is this one. The wrong direction: reading and writing fail, as they should.
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  /// Writes the last words of a process; a standard error that is closed or broken is nothing to fail for.
  public static func writeError(_ text: String) { LineWriter.standardError.write(line: ReadableText.forTerminal(text)) }

  /// Waits until whoever reads standard error, a pipe under mpirun, has taken all of it and had a moment to pass it on; at
  /// most two seconds.
  public static func waitForReaderOfErrors() {
    var status = stat()
    guard fstat(STDERR_FILENO, &status) == 0, status.st_mode & S_IFMT == S_IFIFO else { return }
    for _ in 0..<100 {
      var waiting: Int32 = 0
      if ioctl(STDERR_FILENO, UInt(FIONREAD), &waiting) != 0 || waiting == 0 { break }
      usleep(20_000)
    }
    usleep(100_000)
  }

  /// Writes out what was printed so far.
  /// - Throws: `Failure` if that, or anything printed before, could not be written.
  public static func flushOutput() throws {
    if fflush(stdout) != 0 { throw Failure(code: errno) }
    if ferror(stdout) != 0 { throw Failure(code: 0) }
  }
}
