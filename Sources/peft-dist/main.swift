import ArgumentParser
import Diagnostics
import Foundation

/// Distributed parameter-efficient fine-tuning of language models on CPU clusters.
struct PeftDist: ParsableCommand {
  static let version = "0.1.0"
  static let configuration = CommandConfiguration(
    commandName: "peft-dist",
    abstract: "Parameter-efficient fine-tuning of Hugging Face models on CPU clusters.",
    discussion: """
      The result does not depend on the number of ranks or threads: single-node debugging with `-n 1` replays what
      eight nodes did. Under MPI: mpirun -n 8 peft-dist train …
      """,
    version: version,
    subcommands: [
      TrainCommand.self, EvaluateCommand.self, GenerateCommand.self, InspectCommand.self, ConformanceCommand.self,
      DoctorCommand.self, BenchCommand.self, DiffCommand.self, VerifyCommand.self,
    ])
}

/// Exit codes: 0 done, 1 failed, 2 usage, 75 stopped by a signal after saving.
func leave(with error: any Error) -> Never {
  if let code = error as? ExitCode { exit(code.rawValue) }
  let code = PeftDist.exitCode(for: error)
  let text = PeftDist.fullMessage(for: error)
  if code == .success {
    print(text)
    exit(0)
  }
  let isUsage = code == .validationFailure
  // Every rank finds the same fault in the same command line; one tells, and the others give it time to.
  if let rank = ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_RANK"], rank != "0" { usleep(700_000) } else {
    FileHandle.standardError.write(Data((isUsage ? text : "peft-dist: error: \(error)").utf8 + [10]))
  }
  exit(isUsage ? 2 : 1)
}

do {
  let arguments = try ConfigurationFile.expanded(Array(CommandLine.arguments.dropFirst()))
  var command = try PeftDist.parseAsRoot(arguments)
  try command.run()
} catch {
  leave(with: error)
}
