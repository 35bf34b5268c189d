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
      TrainCommand.self, CompareCommand.self, SweepCommand.self, ReportCommand.self, EvaluateCommand.self,
      GenerateCommand.self, ClassifyCommand.self, MergeCommand.self, ConvertPromptCommand.self,
      InitModelCommand.self, TrainTokenizerCommand.self, MakeReviewsCommand.self, InspectCommand.self,
      ConformanceCommand.self,
      DoctorCommand.self, BenchCommand.self, DiffCommand.self, VerifyCommand.self,
    ])
}

/// A command that every rank of an MPI job takes part in; any other is the work of one process.
protocol JobCommand {}
extension TrainCommand: JobCommand {}
extension CompareCommand: JobCommand {}
extension SweepCommand: JobCommand {}
extension EvaluateCommand: JobCommand {}
extension BenchTrainCommand: JobCommand {}
extension BenchEvaluateCommand: JobCommand {}
extension BenchGenerateCommand: JobCommand {}
extension ConformanceCommand: JobCommand {}
extension VerifyCommand: JobCommand {}
extension DoctorCommand: JobCommand {}

/// Under mpirun the first process alone does what is the work of one, and says so.
func leaveToFirstRank(_ command: any ParsableCommand) {
  let environment = ProcessInfo.processInfo.environment
  guard !(command is any JobCommand), let size = environment["OMPI_COMM_WORLD_SIZE"], size != "1" else { return }
  if environment["OMPI_COMM_WORLD_RANK"] != "0" { exit(0) }
  StandardStreams.writeError(
    "peft-dist: warning: \(type(of: command).configuration.commandName ?? "this command") runs in one process; of the "
      + "\(size) that mpirun started, the others have nothing to do")
}

/// Exit codes: 0 done, 1 failed, 2 usage, 75 stopped by a signal after saving.
func leave(with error: any Error, arguments: [String]) -> Never {
  if let code = error as? ExitCode { exit(code.rawValue) }
  let code = PeftDist.exitCode(for: error)
  let text = PeftDist.fullMessage(for: error)
  let rank = ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_RANK"] ?? "0"
  if code == .success {
    if rank == "0" { print(text) }
    exit(0)
  }
  let isUsage = code == .validationFailure
  var message = isUsage ? text : "peft-dist: error: \(error)"
  // Those whose options are a group of train's own.
  for name in ["compare", "sweep"] { message = message.replacing("peft-dist train \(name)", with: "peft-dist \(name)") }
  if isUsage, let path = ConfigurationFile.path(in: arguments) {
    message += "\nSome of these flags may come from the configuration \(path)."
  }
  // Under mpirun every rank finds the same fault in the same command line: the first tells, and its end ends the
  // others meanwhile. One that still lives has a fault of its own.
  if rank != "0" {
    sleep(2)
    message += "\n(on rank \(rank), \(ProcessInfo.processInfo.hostName))"
  }
  StandardStreams.writeError(message)
  exit(isUsage ? 2 : 1)
}

StandardStreams.prepare()
let arguments = Array(CommandLine.arguments.dropFirst())
do {
  // The parser compares unknown names with all known ones, sign by sign.
  if let name = arguments.first(where: { $0.hasPrefix("--") && $0.prefix { $0 != "=" }.utf8.count > 200 }) {
    throw ValidationError("Unknown option '\(name.unicodeScalars.prefix(60))…'")
  }
  var command = try PeftDist.parseAsRoot(Preset.expanded(ConfigurationFile.expanded(Spellings.understood(arguments))))
  leaveToFirstRank(command)
  try command.run()
  try StandardStreams.flushOutput()
} catch {
  leave(with: error, arguments: arguments)
}
