import ArgumentParser
import Collectives
import Diagnostics
import Foundation
import Training

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Recompute steps of a run and compare them with what it recorded.",
    discussion: """
      Starts at the nearest checkpoint before the window, or at step 0, on any number of ranks, and writes nothing.
      Exit code 0 if every step agrees, 1 if one differs.

        mpirun -n 4 peft-dist verify runs/lora --steps 100..110
      """)

  @Argument(help: ArgumentHelp("Output folder of the run.", valueName: "run"))
  var folder: String
  @Option(help: ArgumentHelp("First and last step, as 100..110.", valueName: "a..b"))
  var steps: String
  @Option(help: ArgumentHelp("Leaf workers of each rank (default: the cores it may use).", valueName: "n"))
  var threadsPerRank: Int?

  @OptionGroup(title: "Watching") var watch: WatchFlags

  private var window: ClosedRange<Int>? {
    let ends = steps.split(separator: ".", omittingEmptySubsequences: true).map { Int($0) }
    guard ends.count == 2, let first = ends[0], let last = ends[1], first >= 1, first <= last else { return nil }
    return first...last
  }

  func validate() throws {
    guard window != nil else { throw ValidationError("--steps \(steps): expected two step numbers such as 100..110") }
  }

  func run() throws {
    // A folder without the run's settings is told of inside.
    let agrees = try watch.run((try? trained())?.leaf.products) { try verify($0) }
    if !agrees { throw ExitCode(1) }
  }

  /// The command of the run, as its folder has it.
  private func trained() throws -> TrainCommand {
    var arguments = try ConfigurationFile.flags(
      path: URL(fileURLWithPath: folder).appendingPathComponent("run.yaml").path)
    arguments += ["--output", folder]
    if let threadsPerRank { arguments += ["--threads-per-rank", "\(threadsPerRank)"] }
    return try TrainCommand.parse(arguments)
  }

  @MainActor
  private func verify(_ world: World) throws -> Bool {
    let url = URL(fileURLWithPath: folder)
    let log = try DigestLog(runFolder: url)
    let run = try TrainRun(trained(), world: world)
    let identity = try run.measuredIdentity()
    let isFinished = FileManager.default.fileExists(atPath: url.appendingPathComponent(RunFolder.summaryName).path)
    let store = world.isFirst ? try RunFolder(url, resume: true, isReadOnly: isFinished) : nil
    let trainer = try run.makeTrainer(identity: identity, folder: store)
    try run.startCache(trainer, keeps: false)
    let result = try trainer.verify(window ?? 1...1, against: log)
    guard result != .stopped else { throw ExitCode(75) }
    guard world.isFirst else { return isAgreement(result) }
    switch result {
    case .agrees(let first, let last, let steps):
      print(
        "\(steps) steps, \(first) to \(last), recomputed on \(world.size) rank\(world.size == 1 ? "" : "s") agree with the run"
      )
    case .differs(let step, let tensors):
      print("step \(step) comes out otherwise" + (tensors.isEmpty ? ": the loss" : ""))
      for name in tensors.prefix(5) { print("  \(name)") }
      if tensors.count > 5 { print("  and \(tensors.count - 5) more tensors") }
    case .nothingRecorded, .stopped: print("the run has no record of these steps")
    }
    return isAgreement(result)
  }

  private func isAgreement(_ result: Trainer.Verification) -> Bool {
    if case .agrees = result { return true }
    return false
  }
}
