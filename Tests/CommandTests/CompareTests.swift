import Checkpoints
import Foundation
import Reporting
import TestSupport
import Testing

/// Methods side by side: each as if trained by itself, the whole taken up again after a kill, the table as the runs say.
@Suite struct CompareTests {
  private static let methods = ["lora", "prompt-tuning"]
  private static let flags = ["--virtual-tokens", "4", "--learning-rate-of", "lora=0.01", "--save-every", "1"]

  private func arguments(_ tiny: TinyRun, to output: String, _ more: [String] = []) -> [String] {
    ["compare", "--methods", Self.methods.joined(separator: ",")]
      + tiny.training(to: output, Self.flags + more).dropFirst()
  }

  /// The same runs by `train`.
  private func solo(_ tiny: TinyRun) throws -> [RunResults] {
    try Self.methods.map { method in
      let rate = method == "lora" ? ["--learning-rate", "0.01"] : []
      let prompt = method.hasPrefix("p") ? ["--virtual-tokens", "4"] : []
      let run = try tiny.run(
        tiny.training(to: "solo-\(method)", ["--method", method, "--save-every", "1"] + prompt + rate))
      #expect(run.exitCode == 0, "\(run.errors)")
      return try RunResults(tiny.file("solo-\(method)"))
    }
  }

  private func members(_ tiny: TinyRun, _ output: String) throws -> [RunResults] {
    try Self.methods.map { try RunResults(tiny.file("\(output)/members/\($0)")) }
  }

  @Test func membersHaveTheBytesOfTheirOwnRuns() throws {
    let tiny = try TinyRun()
    let expected = try solo(tiny)
    for ranks in [nil, 2] {
      let output = "all-\(ranks ?? 1)"
      let run = try tiny.run(arguments(tiny, to: output), ranks: ranks)
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(try members(tiny, output) == expected, "\(output)")
      let page = try String(contentsOf: tiny.file("\(output)/comparison.html"), encoding: .utf8)
      let table = try String(contentsOf: tiny.file("\(output)/comparison.md"), encoding: .utf8)
      for (method, result) in zip(Self.methods, expected) {
        let folder = tiny.file("\(output)/members/\(method)")
        let summary = try JSONObject(file: folder.appending(path: "summary.json"))
        let bytes =
          try FileManager.default.attributesOfItem(
            atPath: folder.appending(path: "adapter/adapter_model.safetensors").path)[.size] as? Int
        #expect(try summary.int("adapter_bytes") == bytes && result.weights.hasPrefix(summary.string("adapter_sha256")))
        #expect(try summary.double("seconds_per_epoch") > 0 && summary.ints("peak_rss_mb").count == ranks ?? 1)
        let cells = try RunReport(title: "", runs: [RunRecord(folder: folder, name: method)]).table
          .split(separator: "\n")[2].split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        for cell in cells where cell != "–" {
          #expect(page.contains(cell.replacing("**", with: "")), "\(cell) of \(method)")
          #expect(run.output.contains(cell) && table.contains(cell), "\(cell) of \(method)")
        }
      }
    }
  }

  @Test func takenUpAfterAKillAndByASignal() throws {
    let tiny = try TinyRun()
    let expected = try solo(tiny)
    // Step 12 of each method fails; the first method is still whole after one restart, then the second breaks.
    for _ in 0..<2 {
      let broken = try tiny.run(arguments(tiny, to: "run", ["--resume"]), faults: "throw:0:12")
      #expect(
        broken.exitCode == 1 && !FileManager.default.fileExists(atPath: tiny.file("run/members/lora/adapter").path))
    }
    let halfway = try tiny.run(
      ["compare", "--methods", "lora"] + tiny.training(to: "run", Self.flags + ["--resume"]).dropFirst(), ranks: 2)
    #expect(halfway.exitCode == 0 && halfway.errors.contains("resuming after step 11"), "\(halfway.errors)")
    let stamp = try FolderContent(tiny.file("run/members/lora"))
    let broken = try tiny.run(arguments(tiny, to: "run", ["--resume"]), faults: "throw:0:12")
    #expect(broken.exitCode == 1, "\(broken.errors)")
    let resumed = try tiny.run(arguments(tiny, to: "run", ["--resume"]), ranks: 2)
    #expect(resumed.exitCode == 0 && resumed.errors.contains("lora is finished already"), "\(resumed.errors)")
    #expect(resumed.errors.contains("resuming after step 11"), "\(resumed.errors)")
    #expect(try members(tiny, "run") == expected && FolderContent(tiny.file("run/members/lora")) == stamp)
    // What is finished under other settings is not passed off as part of these.
    let changed = try tiny.run(arguments(tiny, to: "run", ["--resume", "--lora-r", "4"]))
    #expect(changed.exitCode == 1)
    changed.expectOneError(containing: ["lora_r: 8 in the finished run, 4 now", "lora/run.yaml"])
    let stopped = try tiny.run(arguments(tiny, to: "run", ["--resume", "--stop", "x"]))
    stopped.expectOneError(containing: ["stop: not set in the finished run, [\"x\"] now"])
    let weights = try Data(contentsOf: tiny.file("model/model.safetensors"))
    var others = weights
    others[others.count - 1] ^= 1
    try others.write(to: tiny.file("model/model.safetensors"))
    try tiny.run(arguments(tiny, to: "run", ["--resume"])).expectOneError(containing: ["model_identity: ", "finished"])
    try weights.write(to: tiny.file("model/model.safetensors"))
    let again = try tiny.run(arguments(tiny, to: "run"))
    #expect(again.exitCode == 1)
    again.expectOneError(containing: ["holds a run already", "--resume"])
  }

  @Test func aSignalStopsTheWhole() throws {
    let tiny = try TinyRun()
    let program = try tiny.start(arguments(tiny, to: "run", ["--epochs", "40"]), ranks: 2)
    let log = tiny.file("run/members/lora/metrics.jsonl")
    let deadline = Date(timeIntervalSinceNow: 60)
    while RunResults.lines(of: log).count < 5, Date() < deadline { usleep(500) }
    program.send(signal: SIGUSR1)
    let run = program.outcome()
    #expect(run.exitCode == 75, "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run/members/prompt-tuning").path))
  }

  @Test func reportOfFinishedRuns() throws {
    let tiny = try TinyRun()
    _ = try solo(tiny)
    let folders = Self.methods.map { tiny.file("solo-\($0)").path }
    let run = try tiny.run(["report"] + folders + ["--output", tiny.file("page").path, "--title", "A <b> & c"])
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.output.contains("| solo-lora ") && run.output.contains("| solo-prompt-tuning "))
    let page = try String(contentsOf: tiny.file("page/report.html"), encoding: .utf8)
    #expect(page.contains("<h1>A &lt;b&gt; &amp; c</h1>") && !page.contains("<b>"))
    // A folder given twice counts once, and is no reason for longer names.
    let twice = try tiny.run(["report", folders[0], folders[0] + "/", folders[1]])
    #expect(twice.lines.count { $0.hasPrefix("| solo-") } == 2, "\(twice.output)")
    let refused = try tiny.run(["report", folders[0], "--output", "/proc/none"])
    refused.expectOneError(containing: ["cannot make folder /proc/none"])
    let nothing = try tiny.run(["report", tiny.data.path])
    #expect(nothing.exitCode == 1)
    nothing.expectOneError(containing: [tiny.data.path, "expected the output folder of a training run"])
  }

  @Test(
    arguments: [
      (["--methods", "lora,nix"], "nix"), (["--methods", "lora,lora"], "'lora' is there twice"),
      (["--methods", ""], "--methods"), (["--methods", "lora+full"], "alone"),
      (["--methods", "lora", "--learning-rate-of", "ia3=1"], "--learning-rate-of ia3"),
      (["--methods", "lora", "--init-adapter", "x"], "--init-adapter"), ([], "--methods"),
    ] as [([String], String)])
  func badFlags(flags: [String], words: String) throws {
    let tiny = try TinyRun()
    let run = try tiny.run(["compare"] + flags + tiny.training(to: "run").dropFirst())
    #expect(run.exitCode == 2 && run.errors.contains(words), "\(run.errors)")
    #expect(run.errors.components(separatedBy: "Error: ").count == 2, "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run").path))
  }
}
