import Checkpoints
import Foundation
import TestSupport
import Testing

@testable import peft_dist

/// Fleets of runs: the same leaderboard and bytes on any number of ranks, each member as by itself.
@Suite struct SweepTests {
  private static let grid = [
    "--learning-rates", "0.003,0.03,0.3", "--seeds", "1,2", "--prompt-inits", "random,vocabulary", "--halving-eta", "2",
  ]
  private static let flags = ["--virtual-tokens", "3", "--validation-fraction", "0.3"]

  private func arguments(_ tiny: TinyRun, to output: String, _ more: [String] = []) -> [String] {
    ["sweep"] + Self.grid + tiny.training(to: output, Self.flags + more).dropFirst()
  }

  private func text(_ tiny: TinyRun, _ path: String) throws -> String {
    try String(contentsOf: tiny.file(path), encoding: .utf8)
  }

  @Test func theSameOnAnyNumberOfRanks() throws {
    let tiny = try TinyRun()
    var boards: [String] = []
    for ranks in [nil, 2, 3] {
      let output = "sweep-\(ranks ?? 1)"
      let run = try tiny.run(arguments(tiny, to: output), ranks: ranks, timeoutSeconds: 120)
      #expect(run.exitCode == 0, "\(run.errors)")
      boards.append(try text(tiny, "\(output)/leaderboard.json"))
      #expect(run.output.contains(try text(tiny, "\(output)/leaderboard.md").split(separator: "\n")[1]))
    }
    #expect(boards[0] == boards[1] && boards[0] == boards[2])

    let board = try JSONObject(file: tiny.file("sweep-3/leaderboard.json"))
    let rungs = try board.ints("rungs")
    let entries = try board.array("members").map { entry in
      guard case .object(let members) = entry else {
        throw CheckpointError.wrongKind(path: "", expected: "", found: "")
      }
      return JSONObject(members, origin: "leaderboard")
    }
    #expect(entries.count == 12 && rungs.count == 4)
    // Twelve, six, three, one.
    let counts = try rungs.map { rung in try entries.count { try $0.object("scores").members["\(rung)"] != nil } }
    #expect(counts == [12, 6, 3, 1])
    for (index, rung) in rungs.dropLast().enumerated() {
      let there = try entries.filter { try $0.int("steps") >= rung }
      let gone = try there.filter { try $0.int("steps") == rung }.map { try $0.object("scores").double("\(rung)") }
      let kept = try there.filter { try $0.int("steps") > rung }.map { try $0.object("scores").double("\(rung)") }
      #expect(kept.min() ?? 0 >= gone.max() ?? 1, "rung \(index)")
    }

    let best = entries[0]
    let solo = try tiny.run(
      tiny.training(
        to: "solo",
        Self.flags + [
          "--learning-rate", "\(best.double("learning_rate"))", "--seed", "\(best.int("seed"))", "--prompt-init",
          best.string("prompt_init"),
        ]))
    #expect(solo.exitCode == 0, "\(solo.errors)")
    let expected = try RunResults(tiny.file("solo"))
    let number = try best.int("number")
    let folder = SweepMember(number: number, learningRate: nil, seed: 0, virtualTokens: 1, promptInit: "").name
    for output in ["sweep-1", "sweep-2", "sweep-3"] {
      #expect(try RunResults(tiny.file("\(output)/members/\(folder)")) == expected)
      #expect(
        try sha256(of: tiny.file("\(output)/adapter/adapter_model.safetensors"))
          == sha256(of: tiny.file("solo/adapter/adapter_model.safetensors")))
    }
    #expect(try board.string("adapter_sha256") == best.string("adapter_sha256"))
  }

  @Test func takenUpAgainOnOtherRanks() throws {
    let tiny = try TinyRun()
    let whole = try tiny.run(arguments(tiny, to: "whole"))
    #expect(whole.exitCode == 0, "\(whole.errors)")
    // Some member breaks off in the second rung (steps 2 to 4), others have scores by then.
    let broken = try tiny.run(arguments(tiny, to: "run"), ranks: 2, faults: "throw:0:3")
    #expect(broken.exitCode == 1, "\(broken.errors)")
    let first = tiny.file("run/members/001/scores.json")
    let before = try FileManager.default.attributesOfItem(atPath: first.path)[.modificationDate] as? Date
    let resumed = try tiny.run(arguments(tiny, to: "run", ["--resume"]), ranks: 3, timeoutSeconds: 120)
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    #expect(!resumed.errors.contains("rung 1: "), "a rung was done again: \(resumed.errors)")
    #expect(try text(tiny, "run/leaderboard.json") == text(tiny, "whole/leaderboard.json"))
    let member = try JSONObject(file: tiny.file("run/leaderboard.json")).array("members").count
    #expect(member == 12 && before != nil)
    let after = try FolderContent(tiny.file("run"))
    let again = try tiny.run(arguments(tiny, to: "run", ["--resume"]), ranks: 2)
    #expect(again.exitCode == 0 && again.errors.contains("is finished; nothing to do"), "\(again.errors)")
    #expect(
      try FolderContent(tiny.file("run")).files.filter { $0.key != ".lock" } == after.files.filter { $0.key != ".lock" }
    )
    let other = try tiny.run(arguments(tiny, to: "run", ["--resume", "--halving-eta", "3"]))
    #expect(other.exitCode == 1)
    other.expectOneError(containing: ["sweep.json", "members, steps or --halving-eta"])
    let method = try tiny.run(arguments(tiny, to: "run", ["--resume", "--dropout", "0"]))
    #expect(method.exitCode == 1)
    method.expectOneError(containing: ["dropout: 0.1 in", "sweep.json, 0.0 now"])
  }

  @Test func aSignalStopsAllRanks() throws {
    let tiny = try TinyRun()
    let program = try tiny.start(arguments(tiny, to: "run", ["--epochs", "200"]), ranks: 2)
    let deadline = Date(timeIntervalSinceNow: 60)
    while RunResults.lines(of: tiny.file("run/members/001/metrics.jsonl")).count < 5, Date() < deadline { usleep(500) }
    program.send(signal: SIGUSR1)
    let run = program.outcome()
    #expect(run.exitCode == 75, "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run/leaderboard.json").path))
  }

  /// A member that leaves the finite numbers loses; the others go on.
  @Test func membersThatDivergeLose() throws {
    let tiny = try TinyRun()
    // More than a Float holds.
    let flags = ["--learning-rates", "1e39,0.01", "--method", "lora"]
    let run = try tiny.run(["sweep"] + flags + tiny.training(to: "run", ["--halving-eta", "1"]).dropFirst(), ranks: 2)
    #expect(run.exitCode == 0, "\(run.errors)")
    let board = try JSONObject(file: tiny.file("run/leaderboard.json"))
    #expect(try board.int("best") == 2)
    let none = try tiny.run(
      ["sweep"] + flags + ["--learning-rates", "1e39,1e40"] + tiny.training(to: "none").dropFirst())
    #expect(none.exitCode == 1)
    none.expectOneError(containing: ["no member of the sweep has a finite accuracy", "--learning-rates"])
  }

  @Test(
    arguments: [
      (["--learning-rates", "0.1,x"], "--learning-rates 0.1,x: expected numbers from 0 between commas, found 'x'"),
      (["--seeds", "1,1"], "--seeds 1,1: a value is there twice"), (["--seeds", "-1"], "--seeds"),
      (["--virtual-token-counts", "0"], "--virtual-token-counts 0"), (["--prompt-inits", "nix"], "--prompt-init nix"),
      (["--prompt-inits", "text"], "--prompt-init-text"), (["--halving-eta", "0"], "--halving-eta 0"),
      (["--trials", "0"], "--trials 0"), (["--eval-every", "0"], "--eval-every 0"),
      (["--min-steps", "0"], "--min-steps 0"),
      (
        ["--method", "lora", "--virtual-token-counts", "3"],
        "--virtual-token-counts: --method lora has no virtual tokens"
      ),
      (["--method", "lora", "--prompt-inits", "random"], "--prompt-inits belongs to"),
      (["--learning-rates", "1", "--learning-rate-of", "lora=1"], "exclude each other"),
    ] as [([String], String)])
  func badFlags(flags: [String], words: String) throws {
    let tiny = try TinyRun()
    let run = try tiny.run(["sweep"] + tiny.training(to: "run").dropFirst() + flags)
    #expect(run.exitCode == 2 && run.errors.contains(words), "\(run.errors)")
    #expect(run.errors.components(separatedBy: "Error: ").count == 2, "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run").path))
  }
}
