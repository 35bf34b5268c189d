import Checkpoints
import Foundation
import TestSupport
import Testing

/// A run that was stopped, killed or damaged and taken up again, on any number of ranks, ends in the bytes of
/// one that was not.
@Suite struct ResumeTests {
  private static let flags = [
    "--method", "lora", "--lora-dropout", "0.2", "--max-grad-norm", "0.05", "--learning-rate", "0.01",
    "--epochs", "12", "--save-every", "1", "--eval-every", "16",
  ]
  private static let steps = 96

  @Test(arguments: [(2, nil), (2, 3), (nil, 2)] as [(Int?, Int?)])
  func stoppedBySignalAndResumedOnOtherRanks(before: Int?, after: Int?) throws {
    let tiny = try TinyRun()
    let whole = try uninterrupted(tiny)
    try stop(tiny, after: 20, ranks: before, SIGUSR1, exitCode: 75)
    let steps = try Self.steps(of: tiny.file("run"))
    #expect((20..<Self.steps).contains(steps), "the signal came too late to stop anything")
    #expect(
      FileManager.default.fileExists(atPath: tiny.file("run/checkpoints/\(Self.name(steps))").path),
      "no checkpoint of step \(steps)")
    let resumed = try tiny.run(tiny.training(to: "run", Self.flags + ["--resume"]), ranks: after)
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    #expect(resumed.errors.contains("resuming after step \(steps) from "), "\(resumed.errors)")
    try expectSame(tiny, whole)
  }

  /// Who sends a signal may not wait for leaves that take long, as plain mpirun kills after a second: the state is on the disk by
  /// then.
  @Test(arguments: [SIGINT, SIGTERM]) func savedWhileLeavesAreUnderWay(signal: Int32) throws {
    let tiny = try TinyRun()
    let whole = try uninterrupted(tiny)
    let flags = Self.flags.map { $0 == "1" ? "0" : $0 }
    let program = try tiny.start(tiny.training(to: "run", flags), faults: "slow:0:7")
    let deadline = Date(timeIntervalSinceNow: 30)
    while (try? Self.steps(of: tiny.file("run"))) ?? 0 < 6, Date() < deadline { usleep(500) }
    usleep(200_000)
    program.send(signal: signal)
    usleep(900_000)
    program.send(signal: SIGKILL)
    _ = program.outcome()
    let resumed = try tiny.run(tiny.training(to: "run", Self.flags + ["--resume"]), ranks: 2)
    #expect(resumed.exitCode == 0 && resumed.errors.contains("resuming after step 6 from "), "\(resumed.errors)")
    try expectSame(tiny, whole)
  }

  @Test func killedWithoutWarning() throws {
    let tiny = try TinyRun()
    let whole = try uninterrupted(tiny)
    try stop(tiny, after: 20, ranks: nil, SIGKILL, exitCode: SIGKILL)
    // What writers leave that were killed in the middle; and a file of somebody's that only looks a little like it.
    let leftovers = ["run/adapter/.adapter_model.safetensors.partial-77-3", "run/.summary.json.partial-77-4"]
    let others = ["run/notes.partial-77-3", "run/.notes.partial"]
    try FileManager.default.createDirectory(at: tiny.file("run/adapter"), withIntermediateDirectories: true)
    for name in leftovers + others { try Data("x".utf8).write(to: tiny.file(name)) }
    let resumed = try tiny.run(tiny.training(to: "run", threads: 2, Self.flags + ["--resume"]), ranks: 2)
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    #expect(leftovers.allSatisfy { !FileManager.default.fileExists(atPath: tiny.file($0).path) })
    #expect(others.allSatisfy { FileManager.default.fileExists(atPath: tiny.file($0).path) })
    try expectSame(tiny, whole)
  }

  @Test func damagedNewestCheckpointIsPassedOver() throws {
    let tiny = try TinyRun()
    let whole = try uninterrupted(tiny)
    try stop(tiny, after: 20, ranks: nil, SIGUSR1, exitCode: 75)
    let newest = Self.name(try Self.steps(of: tiny.file("run")))
    let file = tiny.file("run/checkpoints/\(newest)/tensors.safetensors")
    var bytes = try Data(contentsOf: file)
    bytes[bytes.count / 2] ^= 1
    try bytes.write(to: file)
    let resumed = try tiny.run(tiny.training(to: "run", Self.flags + ["--resume"]))
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    let warnings = resumed.errors.split(separator: "\n").filter {
      $0.contains("warning") && $0.contains(newest)
    }
    #expect(warnings.count == 1 && resumed.errors.contains("is damaged and passed over"), "\(resumed.errors)")
    #expect(resumed.errors.contains("resuming after step "), "\(resumed.errors)")
    try expectSame(tiny, whole)
  }

  @Test func finishedRunIsLeftAsItIs() throws {
    let tiny = try TinyRun()
    let first = try tiny.run(tiny.training(to: "run"))
    #expect(first.exitCode == 0, "\(first.errors)")
    let before = try FolderContent(tiny.file("run"))
    for ranks in [nil, 2] {
      let again = try tiny.run(tiny.training(to: "run", ["--resume"]), ranks: ranks)
      #expect(again.exitCode == 0, "\(again.errors)")
      #expect(again.errors.contains("is finished; nothing to do"), "\(again.errors)")
      #expect(try FolderContent(tiny.file("run")) == before)
    }
  }

  /// More steps continue, as if there had been no end; anything else is refused by name.
  @Test func aFinishedRunThatIsAskedForMoreContinues() throws {
    let tiny = try TinyRun()
    let constant = ["--schedule", "constant", "--eval-every", "0", "--save-every", "2"]
    for (output, steps) in [("whole", "6"), ("run", "2")] {
      let run = try tiny.run(tiny.training(to: output, constant + ["--steps", steps]))
      #expect(run.exitCode == 0, "\(run.errors)")
    }
    let before = try FolderContent(tiny.file("run"))
    for (changed, part) in [
      (["--steps", "2", "--learning-rate", "0.1"], "learning_rate: 0.3 in the finished run, 0.1 now"),
      (["--steps", "4", "--learning-rate", "0.1"], "learning_rate: 0.3 in the finished run, 0.1 now"),
      (["--steps", "1"], "steps: 2 in the finished run, 1 now"), (["--steps", "6", "--method", "lora"], "method"),
    ] {
      let run = try tiny.run(tiny.training(to: "run", constant + changed + ["--resume"]))
      #expect(run.exitCode == 1)
      run.expectOneError(containing: [part])
      #expect(try FolderContent(tiny.file("run")) == before)
    }
    let longer = try tiny.run(tiny.training(to: "run", constant + ["--steps", "6", "--resume"]), ranks: 2)
    #expect(longer.exitCode == 0, "\(longer.errors)")
    #expect(longer.errors.contains("resuming after step 2"), "\(longer.errors)")
    #expect(try RunResults(tiny.file("run")).weights == RunResults(tiny.file("whole")).weights)
  }

  @Test func aRunIsNotOverwritten() throws {
    let tiny = try TinyRun()
    let first = try tiny.run(tiny.training(to: "run", ["--steps", "2"]))
    #expect(first.exitCode == 0, "\(first.errors)")
    let before = try FolderContent(tiny.file("run"))
    for ranks in [nil, 2] {
      let again = try tiny.run(tiny.training(to: "run", ["--steps", "2"]), ranks: ranks)
      #expect(again.exitCode == 1)
      again.expectOneError(containing: [tiny.file("run").path, "holds a run already", "--resume"])
      #expect(try FolderContent(tiny.file("run")) == before)
    }
  }

  @Test func changedSettingsAreNamed() throws {
    let tiny = try TinyRun()
    try stop(tiny, after: 3, ranks: nil, SIGUSR1, exitCode: 75)
    let before = try FolderContent(tiny.file("run/checkpoints"))
    let changed = Self.flags + ["--resume", "--learning-rate", "0.02", "--lora-r", "4", "--dropout", "0"]
    for ranks in [nil, 2] {
      let run = try tiny.run(tiny.training(to: "run", changed), ranks: ranks)
      #expect(run.exitCode == 1)
      run.expectOneError(containing: [
        "learning_rate: 0.01 in the checkpoint, 0.02 now", "lora_r: 8 in the checkpoint, 4 now",
        "dropout: 0.1 in the checkpoint, 0",
      ])
      #expect(try FolderContent(tiny.file("run/checkpoints")) == before)
    }
    // Other data and another base model are other settings.
    try Reviews.text(count: 70, from: 0).write(to: tiny.file("data/train.jsonl"))
    let moved = try tiny.run(tiny.training(to: "run", Self.flags + ["--resume", "--steps", "\(Self.steps)"]))
    #expect(moved.exitCode == 1)
    moved.expectOneError(containing: ["train_examples: 52 in the checkpoint, ", "train_data: "])
    try Reviews.text(count: TinyRun.trainCount, from: 1).write(to: tiny.file("data/train.jsonl"))
    let other = try tiny.run(tiny.training(to: "run", Self.flags + ["--resume"]))
    #expect(other.exitCode == 1)
    other.expectOneError(containing: ["train_data: "])
    try Reviews.text(count: TinyRun.trainCount, from: 0).write(to: tiny.file("data/train.jsonl"))
    var weights = try Data(contentsOf: tiny.file("model/model.safetensors"))
    weights[weights.count - 1] ^= 1
    try weights.write(to: tiny.file("model/model.safetensors"))
    let run = try tiny.run(tiny.training(to: "run", Self.flags + ["--resume"]))
    #expect(run.exitCode == 1)
    run.expectOneError(containing: ["model_identity"])
  }

  @Test func resumeWithoutACheckpointStartsAtTheBeginning() throws {
    let tiny = try TinyRun()
    let whole = try tiny.run(tiny.training(to: "whole", ["--steps", "3"]))
    #expect(whole.exitCode == 0, "\(whole.errors)")
    let run = try tiny.run(tiny.training(to: "run", ["--steps", "3", "--resume"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.errors.contains("no usable checkpoint"), "\(run.errors)")
    try expectSame(tiny, RunResults(tiny.file("whole")))
  }

  /// What a run evaluated before its first step it says once, whenever it was taken up again.
  @Test func theFirstEvaluationIsSaidOnce() throws {
    let tiny = try TinyRun()
    let flags = ["--steps", "5", "--eval-on-start", "--save-every", "6"]
    let whole = try tiny.run(tiny.training(to: "whole", flags))
    #expect(whole.exitCode == 0, "\(whole.errors)")
    let broken = try tiny.run(tiny.training(to: "run", flags), faults: "throw:0:3")
    #expect(broken.exitCode == 1 && !RunResults.lines(of: tiny.file("run/metrics.jsonl")).isEmpty)
    let run = try tiny.run(tiny.training(to: "run", flags + ["--resume"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    try expectSame(tiny, RunResults(tiny.file("whole")))
  }

  /// `run.yaml` gives each of several methods the rate that it had.
  @Test func theConfigurationOfSeveralMethodsRepeatsTheRun() throws {
    let tiny = try TinyRun()
    let flags = ["--method", "lora+prompt-tuning", "--steps", "4"]
    let whole = try tiny.run(tiny.training(to: "whole", flags))
    #expect(whole.exitCode == 0, "\(whole.errors)")
    let again = try tiny.run([
      "train", "--config", tiny.file("whole/run.yaml").path, "--output", tiny.file("run").path,
    ])
    #expect(again.exitCode == 0, "\(again.errors)")
    try expectSame(tiny, RunResults(tiny.file("whole")))
    let verified = try tiny.run(["verify", tiny.file("whole").path, "--steps", "1..4"])
    #expect(verified.exitCode == 0, "\(verified.errors)")
  }

  @Test func oneConfigurationAtMost() throws {
    let tiny = try TinyRun()
    let file = tiny.file("run.yaml")
    try Data("lora_r: 4\n".utf8).write(to: file)
    let run = try tiny.run(tiny.training(to: "run", ["--config", file.path, "--config=\(file.path)"]))
    #expect(run.exitCode == 1)
    run.expectOneError(containing: ["--config is there twice"])
  }

  // MARK: Parts

  private func uninterrupted(_ tiny: TinyRun) throws -> RunResults {
    let run = try tiny.run(tiny.training(to: "whole", Self.flags))
    #expect(run.exitCode == 0, "\(run.errors)")
    let results = try RunResults(tiny.file("whole"))
    #expect(results.metrics.count == Self.steps + Self.steps / 16)
    return results
  }

  /// Starts a run and sends the process a signal once `step` steps have been logged.
  private func stop(_ tiny: TinyRun, after step: Int, ranks: Int?, _ signal: Int32, exitCode: Int32) throws {
    let program = try tiny.start(tiny.training(to: "run", Self.flags), ranks: ranks)
    let deadline = Date(timeIntervalSinceNow: 60)
    while (try? Self.steps(of: tiny.file("run"))) ?? 0 < step, Date() < deadline { usleep(500) }
    program.send(signal: signal)
    let run = program.outcome()
    #expect(run.exitCode == exitCode, "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run/adapter").path), "the run came to its end")
  }

  private func expectSame(_ tiny: TinyRun, _ whole: RunResults) throws {
    let results = try RunResults(tiny.file("run"))
    #expect(results.weights == whole.weights)
    #expect(results.metrics == whole.metrics)
    #expect(results.summary == whole.summary)
  }

  /// Steps logged so far.
  private static func steps(of output: URL) throws -> Int {
    try RunResults.lines(of: output.appending(path: "metrics.jsonl")).compactMap { line in
      line.hasSuffix("}") ? try JSONObject(line: line).int("step") : nil
    }.max() ?? 0
  }

  private static func name(_ step: Int) -> String {
    "step-" + String(repeating: "0", count: 6 - String(step).count) + String(step)
  }
}
