import Foundation

/// What a program of this package printed, alone or under `mpirun`, and how it ended.
public struct MPIRun {
  /// Exit code (or number of the signal that ended it); nil if it was killed for taking too long.
  public let exitCode: Int32?
  public let output: String
  public let errors: String

  /// Lines of standard output.
  public var lines: [String] {
    output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init).dropLast()
  }

  init(exitCode: Int32?, output: String, errors: String) {
    self.exitCode = exitCode
    self.output = output
    self.errors = errors
  }

  /// Runs a program to its end.
  ///
  /// - Parameters:
  ///   - ranks: number of ranks; nil starts the program alone, without mpirun.
  ///   - flags: further arguments of mpirun.
  ///   - input: what it reads on standard input.
  ///   - environment: variables on top of those of this process.
  public init(
    _ program: String = "mpi-selftest", ranks: Int?, flags: [String] = [], arguments: [String],
    input: String = "", environment: [String: String] = [:],
    ofRank1: (arguments: [String], environment: [String: String])? = nil, timeoutSeconds: Double = 60
  ) throws {
    self = try RunningProgram(
      program, ranks: ranks, flags: flags, arguments: arguments, input: input, environment: environment,
      ofRank1: ofRank1
    ).outcome(timeoutSeconds: timeoutSeconds)
  }

  /// A built executable, which lies beside the test bundle.
  public static func product(named name: String) throws -> URL {
    let places = [Bundle.main.bundlePath] + CommandLine.arguments
    for place in places where place.hasPrefix("/") {
      var folder = URL(fileURLWithPath: place)
      for _ in 0..<4 {
        let candidate = folder.appendingPathComponent(name)
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: candidate.path, isDirectory: &isFolder), !isFolder.boolValue {
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
