import Foundation
import Testing

/// Runs a program of this package under `mpirun` and gives what it printed and how it ended.
///
/// MPI is never started in a test process. Both pipes are read while the program runs, so it cannot block on
/// a full one, and a program that is not done in time is killed.
struct MPIRun {
  /// Exit code; nil if it was killed for taking too long.
  let exitCode: Int32?
  let output: String
  let errors: String

  /// Lines of standard output.
  var lines: [String] {
    output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init).dropLast()
  }

  /// - Parameters:
  ///   - ranks: number of ranks; nil starts the program alone, without mpirun.
  ///   - flags: further arguments of mpirun.
  init(
    _ program: String = "mpi-selftest", ranks: Int?, flags: [String] = [], arguments: [String],
    timeoutSeconds: Double = 60
  ) throws {
    let binary = try MPIRun.product(named: program).path
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    if let ranks {
      let asRoot = geteuid() == 0 ? ["--allow-run-as-root"] : []
      process.arguments =
        ["mpirun", "--oversubscribe", "-n", "\(ranks)"] + asRoot + flags + [binary] + arguments
    } else {
      process.arguments = [binary] + arguments
    }
    let output = PipeReader()
    let errors = PipeReader()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output.pipe
    process.standardError = errors.pipe
    let ended = DispatchSemaphore(value: 0)
    process.terminationHandler = { _ in ended.signal() }
    try process.run()
    output.start()
    errors.start()
    var isLate = ended.wait(timeout: .now() + timeoutSeconds) == .timedOut
    if isLate {
      // mpirun passes SIGTERM on to the ranks; if it hangs itself, SIGKILL.
      process.terminate()
      if ended.wait(timeout: .now() + 10) == .timedOut { kill(process.processIdentifier, SIGKILL) }
      isLate = true
    }
    exitCode = isLate ? nil : process.terminationStatus
    self.output = output.text()
    self.errors = errors.text()
  }

  /// A built executable, which lies beside the test bundle.
  static func product(named name: String) throws -> URL {
    let places = [Bundle.main.bundlePath] + CommandLine.arguments
    for place in places where place.hasPrefix("/") {
      var folder = URL(fileURLWithPath: place)
      for _ in 0..<4 {
        let candidate = folder.appendingPathComponent(name)
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: candidate.path, isDirectory: &isFolder), !isFolder.boolValue
        {
          return candidate
        }
        folder.deleteLastPathComponent()
      }
    }
    throw MissingProduct(name: name, places: places)
  }

  struct MissingProduct: Error {
    let name: String
    let places: [String]
  }
}

/// Reads a pipe to its end on a thread of its own.
private final class PipeReader: @unchecked Sendable {
  let pipe = Pipe()
  private var data = Data()
  private let done = DispatchSemaphore(value: 0)

  func start() {
    Thread.detachNewThread { [self] in
      data = pipe.fileHandleForReading.readDataToEndOfFile()
      done.signal()
    }
  }

  /// What was read; waits a little for a pipe that an orphan still holds.
  func text() -> String {
    guard done.wait(timeout: .now() + 10) == .success else { return "(the pipe stayed open)" }
    return String(decoding: data, as: UTF8.self)
  }
}
