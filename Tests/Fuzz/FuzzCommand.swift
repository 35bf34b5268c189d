import ArgumentParser
import Foundation
import Synchronization

/// Runs `peft-dist` on damaged files and hostile arguments, and reports what ends in anything but an answer or one clear error.
@main
struct FuzzCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fuzz",
    abstract: "Run peft-dist on damaged files and hostile arguments.",
    discussion: """
      Execution N of a seed is the same each time: --seed 7 --only 1234 repeats one. A finding is a crash, a hang, more memory \
      than --memory-mb, an error without a sentence, a result with values that are not finite, or an answer from a damaged cache; \
      its folder holds the command and the files.
      """)

  @Option(help: "The program (default: the peft-dist beside this one).")
  var program: String?
  @Option(help: "The repository, for the models and texts of examples/.")
  var root: String = FileManager.default.currentDirectoryPath
  @Option(help: "First number of the executions.")
  var from = 0
  @Option(help: "End after so many executions.")
  var executions = Int.max
  @Option(help: "End after so many seconds.")
  var seconds = 600.0
  @Option(help: "Another seed makes other cases.")
  var seed: UInt64 = 1
  @Option(help: "Only this execution, which stays in --findings.")
  var only: Int?
  @Option(help: "Only kinds of input whose names hold this.")
  var kind: String?
  @Option(help: "Executions at a time.")
  var jobs = max(2, ProcessInfo.processInfo.activeProcessorCount)
  @Option(help: "An execution that takes longer hangs.")
  var timeoutSeconds = 30.0
  @Option(help: "An execution that takes more is a finding.")
  var memoryMb = 1500
  @Option(help: "Folder for findings.")
  var findings = "fuzz-findings"

  func run() throws {
    // What one execution may do to the machine.
    for (resource, limit) in [(RLIMIT_CORE, 0), (RLIMIT_FSIZE, 512 << 20), (RLIMIT_AS, 8 << 30)]
      as [(__rlimit_resource, rlim_t)]
    {
      var limits = rlimit(rlim_cur: limit, rlim_max: limit)
      setrlimit(__rlimit_resource_t(resource.rawValue), &limits)
    }
    // Executions have folders of their own.
    let program =
      program.map { URL(fileURLWithPath: $0).path }
      ?? Bundle.main.executableURL?.deletingLastPathComponent().appending(path: "peft-dist").path ?? ""
    let work = FileManager.default.temporaryDirectory.appending(path: "fuzz-\(getpid())")
    try FileManager.default.createDirectory(at: work, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: work) }
    let judge = Judge(timeoutSeconds: timeoutSeconds, memoryMegabytes: memoryMb)
    let seeds = try ValidFiles(
      program: program, repository: URL(fileURLWithPath: root), folder: work.appending(path: "valid"))
    let kinds = try InputKind.all(seeds).filter { input in kind.map { input.name.contains($0) } ?? true }
    guard !kinds.isEmpty else { throw ValidationError("no kind of input is named so; without --kind all are taken") }
    try checkCommands(of: kinds, program: program, in: work)
    let tally = Tally()
    let end = Date().addingTimeInterval(seconds)
    let numbers = only.map { $0..<$0 + 1 } ?? from..<(executions == .max ? .max : from + executions)
    let next = Mutex(numbers.lowerBound)
    let corpus =
      try only == nil
      ? InputKind.corpus(seeds, at: URL(fileURLWithPath: root).appending(path: "Tests/Fuzz/Corpus")) : []
    for (number, kind) in corpus.enumerated() {
      var draw = Draw(seed: 0, number: number)
      execute(kind, number, seed: 0, &draw, program: program, work: work, judge, tally)
    }
    DispatchQueue.concurrentPerform(iterations: only == nil ? jobs : 1) { _ in
      while Date() < end {
        let number = next.withLock { number in
          defer { number += 1 }
          return number
        }
        guard number < numbers.upperBound else { return }
        var draw = Draw(seed: seed, number: number)
        execute(kinds[draw.below(kinds.count)], number, seed: seed, &draw, program: program, work: work, judge, tally)
      }
    }
    say(tally.table())
    if tally.findingCount > 0 { throw ExitCode.failure }
  }

  private func execute(
    _ kind: InputKind, _ number: Int, seed: UInt64, _ draw: inout Draw, program: String, work: URL, _ judge: Judge,
    _ tally: Tally
  ) {
    let folder = work.appending(path: "\(seed)-\(number)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let name = "\(kind.name), execution \(number) of seed \(seed)"
    do {
      let execution = try kind.execution(in: folder, &draw)
      let outcome = try execution.run(program: program, timeoutSeconds: timeoutSeconds)
      let finding = judge.finding(execution, outcome)
      tally.add(kind.name, outcome, finding)
      guard finding != nil || only != nil else { return }
      let kept = URL(fileURLWithPath: findings).appending(path: "\(seed)-\(number)")
      try execution.keep(at: kept, program: program, outcome: outcome, finding: finding ?? "none")
      say("\(name): \(finding ?? "no finding"); see \(kept.path)")
    } catch {
      tally.add(kind.name, nil, "the driver failed: \(error)")
      say("\(name): the driver failed: \(error)")
    }
  }

  /// What is refused without any damage tests nothing.
  private func checkCommands(of kinds: [InputKind], program: String, in work: URL) throws {
    var refused: [String] = []
    for kind in kinds where !kind.name.hasPrefix("texts") {
      var seen: Set<[String]> = []
      for number in 0..<20 {
        var draw = Draw(seed: seed, number: number, isHarmless: true)
        let folder = work.appending(path: "harmless-\(kind.name)-\(number)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let execution = try kind.execution(in: folder, &draw)
        guard seen.insert(execution.arguments).inserted else { continue }
        let outcome = try execution.run(program: program, timeoutSeconds: timeoutSeconds)
        if outcome.status != .exited(0) {
          refused.append("\(kind.name): \(execution.arguments.joined(separator: " "))\n\(outcome.errors.suffix(600))")
        }
      }
    }
    guard refused.isEmpty else { throw ValidationError("without damage:\n\(refused.joined(separator: "\n"))") }
  }
}

/// Prints at once, into a pipe too.
private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

/// How many executions of each kind ended how.
private final class Tally: Sendable {
  private struct Row {
    var executions = 0
    var refused = 0
    var findings = 0
  }
  private let rows = Mutex<[String: Row]>([:])

  func add(_ kind: String, _ outcome: Outcome?, _ finding: String?) {
    rows.withLock { rows in
      rows[kind, default: Row()].executions += 1
      rows[kind]?.refused += outcome.map { $0.status == .exited(0) ? 0 : 1 } ?? 0
      rows[kind]?.findings += finding == nil ? 0 : 1
    }
  }

  var findingCount: Int { rows.withLock { $0.values.reduce(0) { $0 + $1.findings } } }

  func table() -> String {
    rows.withLock { rows in
      var total = Row()
      var lines = ["| input | executions | refused | findings |", "|---|---|---|---|"]
      for (name, row) in rows.sorted(by: { $0.key < $1.key }) {
        lines.append("| \(name) | \(row.executions) | \(row.refused) | \(row.findings) |")
        total.executions += row.executions
        total.refused += row.refused
        total.findings += row.findings
      }
      lines.append("| all | \(total.executions) | \(total.refused) | \(total.findings) |")
      return lines.joined(separator: "\n")
    }
  }
}
