import Checkpoints
import Foundation
import TestSupport
import Testing
import Training

/// A run that keeps what frozen layers give ends in the bytes of one that computes it each time.
@Suite struct ActivationCacheTests {
  private static let decoder = ["--target-modules", #"decoder\..*SelfAttention\.(q|v)"#]
  private static let topBlock = ["--target-modules", #"encoder\.block\.1\..*\.(q|wo)"#]
  private static let flags = [
    "--method", "lora", "--dropout", "0", "--learning-rate", "0.01", "--epochs", "3", "--leaf-tokens", "16",
    "--save-every", "1",
  ]
  private static let steps = 24

  @Test(arguments: [
    decoder, topBlock, decoder + ["--activation-cache-precision", "bf16"], topBlock + ["--precision", "bf16"],
    decoder + ["--precision", "fp16"],
  ])
  func sameBytesWithAndWithout(method: [String]) throws {
    let tiny = try TinyRun()
    let plain = try train(tiny, "plain", method + ["--activation-cache", "off"])
    #expect(try use(tiny, "plain") == nil)
    for (ranks, threads, limit) in [
      (nil, 1, "auto"), (nil, 2, "auto"), (2, 1, "auto"), (2, 2, "1GB"), (2, 2, "60kB"), (3, 1, "off"),
    ] as [(Int?, Int, String)] {
      let name = "\(ranks ?? 0)x\(threads)-\(limit)"
      let found = try train(tiny, name, method + ["--activation-cache", limit], ranks: ranks, threads: threads)
      #expect(found == plain, "\(name)")
      #expect(try digests(tiny, name) == digests(tiny, "plain"), "\(name)")
      guard limit != "off" else { continue }
      // Each example is computed once in three epochs, wherever; of a small cache those without a slot each time.
      let use = try #require(try use(tiny, name))
      let (examples, hits, misses) = (try use.int("examples"), try use.int("hits"), try use.int("misses"))
      let count = (hits + misses) / 3
      #expect(examples <= count && (examples < count) == (limit == "60kB"), "\(examples) of \(count)")
      #expect(misses == examples + 3 * (count - examples) && count > 40, "\(name)")
    }
    #expect(try left(tiny).isEmpty)
  }

  @Test func theWidthOfStatesIsASettingOfItsOwn() throws {
    let tiny = try TinyRun()
    let fp32 = try train(tiny, "fp32", Self.decoder)
    let bf16 = try train(tiny, "bf16", Self.decoder + ["--activation-cache-precision", "bf16"])
    #expect(fp32.weights != bf16.weights)
    let run = try tiny.run(tiny.training(to: "cut", Self.flags + Self.decoder), faults: "throw:0:12")
    #expect(run.exitCode == 1)
    let other = ["--activation-cache-precision", "bf16", "--resume"]
    let resumed = try tiny.run(tiny.training(to: "cut", Self.flags + Self.decoder + other))
    #expect(resumed.exitCode == 1)
    resumed.expectOneError(containing: [#"activation_cache_precision: "fp32" in the checkpoint, "bf16" now"#])
  }

  @Test(
    arguments: [("auto", nil, "off", 2), ("auto", 2, "auto", nil), ("off", nil, "60kB", 2)]
      as [(
        String, Int?, String, Int?
      )])
  func resumedRunsFillAnew(before: String, ranks: Int?, after: String, otherRanks: Int?) throws {
    let tiny = try TinyRun()
    let whole = try train(tiny, "whole", Self.decoder)
    let broken = try tiny.run(
      tiny.training(to: "run", Self.flags + Self.decoder + ["--activation-cache", before]), ranks: ranks,
      faults: "throw:0:12")
    #expect(broken.exitCode == 1 && broken.errors.contains("injected failure"), "\(broken.errors)")
    #expect(try left(tiny).isEmpty)
    let resumed = try train(
      tiny, "run", Self.decoder + ["--activation-cache", after, "--resume"], ranks: otherRanks)
    #expect(resumed == whole)
    #expect(try digests(tiny, "run") == digests(tiny, "whole"))
    let verified = try tiny.run(["verify", tiny.file("run").path, "--steps", "9..24"])
    #expect(verified.exitCode == 0 && verified.output.contains("16 steps, 9 to 24, recomputed"), "\(verified.errors)")
  }

  @Test func theStartTellsWhatIsKeptOrWhyNot() throws {
    let tiny = try TinyRun()
    func notice(_ flags: [String]) throws -> String {
      let run = try tiny.run(tiny.training(to: "run-\(UUID().uuidString)", Self.flags + flags))
      #expect(run.exitCode == 0, "\(run.errors)")
      return run.errors
    }
    let kept = try notice(Self.decoder)
    #expect(kept.contains("2 of 2 first layers are frozen; what they give for "), "\(kept)")
    #expect(kept.contains(" is computed once and kept ("), "\(kept)")
    #expect(try notice(Self.topBlock).contains("1 of 2 first layers are frozen"))
    for (flags, part) in [
      (Self.decoder + ["--dropout", "0.1"], "--dropout 0 allows it"),
      (["--method", "prompt-tuning"], "prompt-tuning trains the first layer"),
      (Self.decoder + ["--epochs", "1"], "no example is seen twice"),
    ] {
      #expect(try notice(flags + ["--activation-cache", "1GB"]).contains("no activation cache: "))
      #expect(try notice(flags + ["--activation-cache", "1GB"]).contains(part), "\(part)")
      #expect(try !notice(flags).contains("activation cache"))
    }
  }

  @Test(arguments: [
    (["--activation-cache", "lots"], "--activation-cache lots: expected auto, off or a size"),
    (["--activation-cache", "0GB"], "--activation-cache 0GB: expected auto, off or a size"),
    (["--activation-cache-precision", "fp8"], "--activation-cache-precision fp8: expected fp32 or bf16"),
  ])
  func nonsenseIsRefused(flags: [String], part: String) throws {
    let tiny = try TinyRun()
    let run = try tiny.run(tiny.training(to: "run", flags))
    #expect(run.exitCode == 2 && run.errors.contains(part), "\(run.errors)")
  }

  @Test func aFolderThatCannotBeUsedEndsTheRunOnlyIfASizeWasAskedFor() throws {
    let tiny = try TinyRun()
    let place = ["--activation-cache-dir", tiny.file("data/train.jsonl").path]
    let run = try tiny.run(tiny.training(to: "run", Self.flags + Self.decoder + place + ["--activation-cache", "1GB"]))
    #expect(run.exitCode == 1)
    run.expectOneError(containing: ["of the activation cache", "--activation-cache-dir"])
    let other = try tiny.run(tiny.training(to: "other", Self.flags + Self.decoder + place))
    #expect(other.exitCode == 0 && other.errors.contains("going on without it"), "\(other.errors)")
  }

  /// A method's own dropout lies above what is frozen, and works without the model's.
  @Test func dropoutOfTheMethodAlone() throws {
    let tiny = try TinyRun()
    let method = Self.decoder + ["--lora-dropout", "0.3"]
    let plain = try train(tiny, "plain", method + ["--activation-cache", "off"])
    #expect(try train(tiny, "kept", method, ranks: 2) == plain)
    #expect(try train(tiny, "without", Self.decoder).weights != plain.weights)
  }

  // MARK: -

  private func train(
    _ tiny: TinyRun, _ output: String, _ more: [String], ranks: Int? = nil, threads: Int = 1
  ) throws -> RunResults {
    let run = try tiny.run(tiny.training(to: output, threads: threads, Self.flags + more), ranks: ranks)
    #expect(run.exitCode == 0, "\(output): \(run.errors)")
    return try RunResults(tiny.file(output))
  }

  private func digests(_ tiny: TinyRun, _ output: String) throws -> [String] {
    let lines = RunResults.lines(of: tiny.file("\(output)/digests.jsonl"))
    #expect(lines.count > Self.steps)
    return lines
  }

  private func use(_ tiny: TinyRun, _ output: String) throws -> JSONObject? {
    try JSONObject(file: tiny.file("\(output)/summary.json")).optionalObject("activation_cache")
  }

  /// Files of activation caches that are still there.
  private func left(_ tiny: TinyRun) throws -> [String] {
    let folder = tiny.cache.appending(path: "peft-dist/activations")
    return FileManager.default.fileExists(atPath: folder.path)
      ? try FileManager.default.contentsOfDirectory(atPath: folder.path) : []
  }
}
