import ArgumentParser
import Foundation
import Training

struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Name the first step and tensor in which two runs part.",
    discussion: "Compares the digests both runs recorded per step. Exit code 0 if they agree, 1 if they differ.")

  @Argument(help: ArgumentHelp("Output folder of a run.", valueName: "run-a"))
  var first: String
  @Argument(help: ArgumentHelp("Output folder of another.", valueName: "run-b"))
  var second: String

  func run() throws {
    let logs = try [first, second].map { try DigestLog(runFolder: URL(fileURLWithPath: $0)) }
    switch logs[0].difference(from: logs[1]) {
    case .none(let steps):
      print("the runs agree in all \(steps) steps both have recorded")
      if steps == 0 { throw ExitCode(1) }
    case .tensors:
      print("the runs train other tensors: \(logs[0].tensorNames.count) and \(logs[1].tensorNames.count)")
      throw ExitCode(1)
    case .step(let step, let lossDiffers, let tensors):
      print("the runs part at step \(step): \(lossDiffers ? "the loss differs" : "the loss is the same")")
      for name in tensors.prefix(5) { print("  \(name)") }
      if tensors.count > 5 { print("  and \(tensors.count - 5) more tensors") }
      throw ExitCode(1)
    }
  }
}
