import Checkpoints
import Collectives
import Diagnostics
import Foundation
import NN
import Reporting
import Training

/// One method after another on all ranks, with base, tokenizer and data loaded once.
@MainActor
struct Comparison {
  private let members: [ComparisonMember]
  private let flags: TrainCommand
  private let world: World
  private var output: URL { URL(fileURLWithPath: flags.output) }

  init(_ command: CompareCommand, world: World) throws {
    members = try command.members()
    flags = command.train
    self.world = world
  }

  func run() throws -> TrainRun.Outcome {
    let lock = try world.isFirst && !flags.dryRun ? GroupFolder.take(output, resume: flags.resume) : nil
    defer { withExtendedLifetime(lock) {} }
    var place: Workplace?
    var identity: NumericIdentity?
    var diverged: [String] = []
    for (number, member) in members.enumerated() {
      RunLog.notice("method \(number + 1) of \(members.count): \(member.name)")
      ProcessMemory.resetPeak()
      let run = try TrainRun(member.flags, world: world, place: place)
      place = run.place
      identity = try identity ?? run.measuredIdentity()
      if try !flags.dryRun && run.isFinished() {
        RunLog.notice("\(member.name) is finished already")
        continue
      }
      do {
        if try run.run(identity: identity, printsResult: false) == .stopped { return .stopped }
      } catch let error as TrainingError {
        // All ranks meet it together: the reduction says so.
        guard error.isDivergence else { throw error }
        RunLog.warning("\(member.name) is left out: \(error)")
        diverged.append(member.name)
      }
      if world.isFirst, !flags.dryRun { _ = try writeReport() }
    }
    guard world.isFirst, !flags.dryRun else { return .done }
    let report = try writeReport()
    print(report.table)
    print("")
    print("report  \(output.appendingPathComponent("comparison.html").path)")
    if !diverged.isEmpty {
      print("left out, as their loss left the finite numbers: \(diverged.joined(separator: ", "))")
    }
    return .done
  }

  /// The report on what there is so far.
  private func writeReport() throws -> RunReport {
    PhaseBoard.enter("writing the report")
    let runs = try members.compactMap { member -> RunRecord? in
      do {
        return try RunRecord(folder: URL(fileURLWithPath: member.flags.output), name: member.name)
      } catch ReportError.noRun { return nil }
    }
    let title = "\(members.count) ways to tune \(runs.first?.model ?? "a model") on \(flags.data.task ?? "")"
    let report = try RunReport(title: title, runs: runs)
    try report.write(to: output, name: "comparison")
    return report
  }
}
