import Foundation

/// A program of this package while it runs, alone or under `mpirun`.
///
/// MPI is never started in a test process. Both pipes are read while the program runs, so it cannot block on
/// a full one.
public final class RunningProgram {
  private let process = Process()
  private let output = PipeReader()
  private let errors = PipeReader()
  private let ended = DispatchSemaphore(value: 0)

  /// Starts the program.
  ///
  /// - Parameters:
  ///   - ranks: number of ranks; nil starts the program alone, without mpirun.
  ///   - flags: further arguments of mpirun.
  ///   - ofRank1: arguments and variables that rank 1 gets instead, as if its host had others. (Several commands of one
  ///     mpirun would say that too, but some versions of Open MPI 5 crash at them.)
  ///   - input: what it reads on standard input.
  ///   - environment: variables on top of those of this process, of which settings of this package are left out, but for
  ///     the kernel set that all tests are to run with: a test means the same whoever starts it.
  public init(
    _ program: String, ranks: Int?, flags: [String] = [], arguments: [String], input: String = "",
    environment: [String: String] = [:], ofRank1: (arguments: [String], environment: [String: String])? = nil
  ) throws {
    let binary = try MPIRun.product(named: program).path
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    if let ranks {
      let asRoot = geteuid() == 0 ? ["--allow-run-as-root"] : []
      process.arguments =
        ["mpirun", "--oversubscribe", "-n", "\(ranks)"] + asRoot + flags
        + Self.command(binary, arguments, ofRank1: ofRank1)
    } else {
      process.arguments = [binary] + arguments
    }
    let inherited = ProcessInfo.processInfo.environment.filter {
      !$0.key.hasPrefix("PEFT_DIST_") || $0.key == "PEFT_DIST_KERNELS"
    }
    process.environment = inherited.merging(environment) { $1 }
    process.standardOutput = output.pipe
    process.standardError = errors.pipe
    process.terminationHandler = { [ended] _ in ended.signal() }
    if input.isEmpty {
      process.standardInput = FileHandle.nullDevice
      try Self.withoutBlockedSignals { try process.run() }
    } else {
      let pipe = Pipe()
      process.standardInput = pipe
      try Self.withoutBlockedSignals { try process.run() }
      let writer = pipe.fileHandleForWriting
      Thread.detachNewThread {
        try? writer.write(contentsOf: Data(input.utf8))
        try? writer.close()
      }
    }
    output.start()
    errors.start()
  }

  private static func command(
    _ binary: String, _ arguments: [String], ofRank1: (arguments: [String], environment: [String: String])?
  ) -> [String] {
    guard let ofRank1 else { return [binary] + arguments }
    func quoted(_ words: [String]) -> String {
      words.map { "'" + $0.replacing("'", with: "'\\''") + "'" }.joined(separator: " ")
    }
    let other = ["env"] + ofRank1.environment.map { "\($0)=\($1)" } + [binary] + ofRank1.arguments
    return [
      "/bin/sh", "-c",
      "if [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]; then exec \(quoted(other)); fi; exec \(quoted([binary] + arguments))",
    ]
  }

  /// Threads of a test runner block most signals, and a program inherits that from the thread that starts it.
  static func withoutBlockedSignals(_ body: () throws -> Void) rethrows {
    var (none, old) = (sigset_t(), sigset_t())
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &old)
    defer { pthread_sigmask(SIG_SETMASK, &old, nil) }
    try body()
  }

  /// The process started: the program itself, or mpirun.
  public var processNumber: pid_t { process.processIdentifier }

  public func send(signal number: Int32) { kill(process.processIdentifier, number) }

  /// Waits for the end; a program that is not done in time is killed.
  public func outcome(timeoutSeconds: Double = 60) -> MPIRun {
    let isLate = ended.wait(timeout: .now() + timeoutSeconds) == .timedOut
    if isLate {
      // mpirun passes SIGTERM on to the ranks; if it hangs itself, SIGKILL.
      process.terminate()
      if ended.wait(timeout: .now() + 10) == .timedOut { kill(process.processIdentifier, SIGKILL) }
    }
    return MPIRun(
      exitCode: isLate ? nil : process.terminationStatus, output: output.text(), errors: errors.text())
  }
}

/// Reads a pipe to its end on a thread of its own and closes it: a test process starts hundreds of programs.
private final class PipeReader: @unchecked Sendable {
  let pipe = Pipe()
  private var data = Data()
  private let done = DispatchSemaphore(value: 0)

  func start() {
    Thread.detachNewThread { [self] in
      data = pipe.fileHandleForReading.readDataToEndOfFile()
      try? pipe.fileHandleForReading.close()
      done.signal()
    }
  }

  /// What was read; waits a little for a pipe that an orphan still holds.
  func text() -> String {
    guard done.wait(timeout: .now() + 10) == .success else { return "(the pipe stayed open)" }
    return String(decoding: data, as: UTF8.self)
  }
}
