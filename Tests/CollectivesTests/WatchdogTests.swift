import Foundation
import TestSupport
import Testing

/// Jobs that stall, and jobs that only look like it: `mpi-selftest stall`, with a timeout of 2 s.
@Suite(.serialized)
struct WatchdogTests {
  private static let timeoutSeconds = 2.0

  private func run(_ scenario: String, victim: Int, ranks: Int?) throws -> (run: MPIRun, ended: Date) {
    let run = try MPIRun(
      ranks: ranks, flags: ["--bind-to", "none"],
      arguments: ["stall", "\(scenario):\(victim):\(Self.timeoutSeconds)"], timeoutSeconds: 40)
    return (run, Date())
  }

  /// Lines by which the watchdog ends a job.
  private func verdicts(_ run: MPIRun) -> [Substring] {
    run.errors.split(separator: "\n").filter { $0.hasPrefix("peft-dist: error: ") }
  }

  /// Seconds from the stall, which the job prints, to its end.
  private func secondsFromStall(_ outcome: (run: MPIRun, ended: Date)) -> Double? {
    let line = outcome.run.lines.first { $0.hasPrefix("stalls at ") }
    let moment = line.flatMap { Double($0.dropFirst("stalls at ".count)) }
    return moment.map { outcome.ended.timeIntervalSince1970 - $0 }
  }

  @Test(
    arguments: [
      ("stopped", 1, 2, "evaluating (nothing heard)"), ("stopped", 0, 2, "evaluating (nothing heard)"),
      ("stopped", 2, 4, "evaluating (nothing heard)"), ("stuck-leaf", 1, 2, "step 12"),
      ("stuck-leaf", 0, 3, "step 12"), ("stuck-while-asking", 2, 3, "step 12"),
      ("stuck-main", 1, 2, "saving"),
      ("stuck-main", 0, 4, "saving"), ("stuck-main", 0, 1, "saving"), ("stuck-leaf", 0, 1, "step 12"),
    ])
  func stalledRankEndsTheJobAndIsNamedOnce(
    scenario: String, victim: Int, ranks: Int, place: String
  ) throws {
    let outcome = try run(scenario, victim: victim, ranks: ranks)
    #expect(outcome.run.exitCode == 1, "\(outcome.run.errors)")
    #expect(!outcome.run.output.contains("all is well"))
    let told = verdicts(outcome.run)
    #expect(told.count == 1, "\(outcome.run.errors)")
    let line = try #require(told.first)
    #expect(line.hasPrefix("peft-dist: error: rank \(victim) ("))
    #expect(line.hasSuffix(") made no progress for 2 s in \(place)"), "\(line)")
    #expect(!line.contains("()"), "no host in \(line)")
    // The timeout, heartbeats, and what mpirun takes to end the others.
    let delay = try #require(secondsFromStall(outcome))
    #expect(delay > Self.timeoutSeconds * 0.7 && delay < Self.timeoutSeconds + 6, "\(delay) s")
  }

  @Test func rankStoppedAtTheEndOfItsStartIsNamed() throws {
    let outcome = try run("stopped-at-once", victim: 0, ranks: 3)
    #expect(outcome.run.exitCode == 1, "\(outcome.run.errors)")
    let told = verdicts(outcome.run)
    #expect(told.count == 1, "\(outcome.run.errors)")
    #expect(told.allSatisfy { $0.contains("rank 0 (") && $0.contains("made no progress for 2 s in ") })
  }

  @Test func rankThatExitsSilentlyEndsTheJob() throws {
    let outcome = try run("exits", victim: 1, ranks: 3)
    let code = try #require(outcome.run.exitCode)
    #expect(code != 0)
    #expect(!outcome.run.output.contains("all is well"))
    #expect(try #require(secondsFromStall(outcome)) < Self.timeoutSeconds + 6)
  }

  @Test func ranksThatWaitForEachOtherAreToldWithTheirPhases() throws {
    let outcome = try run("deadlock", victim: 0, ranks: 2)
    #expect(outcome.run.exitCode == 1, "\(outcome.run.errors)")
    let told = verdicts(outcome.run)
    #expect(told.count == 1, "\(outcome.run.errors)")
    let line = try #require(told.first)
    #expect(line.contains("no rank made progress for 4 s"))
    #expect(line.contains(") in evaluating, rank 1 (") && line.hasSuffix(") in step 12"), "\(line)")
  }

  @Test(
    arguments: [
      ("slow", 1, 2), ("slow", 0, 3), ("slow", 0, 1), ("alone-for-long", 0, 2), ("stopped-briefly", 1, 2),
      ("suspended", 0, 2),
    ])
  func slowWaitingAndSuspendedRanksAreLeftAlone(scenario: String, victim: Int, ranks: Int) throws {
    let outcome = try run(scenario, victim: victim, ranks: ranks)
    #expect(outcome.run.exitCode == 0, "\(outcome.run.errors)")
    #expect(outcome.run.lines == ["all is well"])
    #expect(outcome.run.errors.isEmpty)
  }

  @Test func waitForAnotherProcessIsToldAndEndsNothing() throws {
    let outcome = try run("waits-outside", victim: 1, ranks: 2)
    #expect(outcome.run.exitCode == 0, "\(outcome.run.errors)")
    #expect(outcome.run.lines == ["all is well"])
    let lines = outcome.run.errors.split(separator: "\n")
    #expect(lines.count == 1)
    #expect(lines.allSatisfy { $0.hasSuffix(") has waited 2 s for another process in tokenising") })
  }

  @Test func blockedHeartbeatsAreToldOnceAndEndNothing() throws {
    let outcome = try run("deaf", victim: 1, ranks: 3)
    #expect(outcome.run.exitCode == 0, "\(outcome.run.errors)")
    #expect(outcome.run.lines == ["all is well"])
    let lines = outcome.run.errors.split(separator: "\n")
    #expect(lines.count == 1)
    #expect(lines.allSatisfy { $0.hasPrefix("peft-dist: warning: no heartbeats pass between rank 0 (") })
  }

  @Test func watchdogTakesHardlyAnyTime() throws {
    let run = try MPIRun(
      ranks: 2, flags: ["--bind-to", "none"], arguments: ["watchdog-cost", "4"], timeoutSeconds: 60)
    #expect(run.exitCode == 0, "\(run.errors)")
    // "the thread used 0.45 ms of CPU time in 4 s": less than 1 % of a core, even in a debug build.
    let line = try #require(run.lines.first { $0.hasPrefix("the thread used ") })
    let used = try #require(Double(line.split(separator: " ")[3]))
    #expect(used > 0 && used < 40, "\(line)")
  }
}
