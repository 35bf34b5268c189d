import Checkpoints
import Foundation
import TestSupport
import Testing

/// `--precision` from the outside: one result for any layout, also over an interruption, and the ends of fp16's range.
@Suite struct PrecisionTests {
  private static let flags = [
    "--precision", "fp16", "--method", "lora", "--lora-dropout", "0.2", "--learning-rate", "0.01", "--save-every", "1",
  ]

  @Test func sameBytesForAnyLayout() throws {
    let tiny = try TinyRun()
    let whole = try train(tiny, "alone")
    #expect(try train(tiny, "fp32", ["--precision", "fp32"]).weights != whole.weights)
    for (ranks, threads) in [(1, 2), (2, 1), (3, 2)] {
      #expect(try train(tiny, "\(ranks)", ranks: ranks, threads: threads) == whole, "\(ranks) ranks")
    }
    // Of a window beyond the end of the run what there is.
    for (last, text) in [(16, "14 steps, 3 to 16, recomputed"), (100_000, "14 steps, 3 to 16, recomputed")] {
      let verified = try tiny.run(["verify", tiny.file("alone").path, "--steps", "3..\(last)"], ranks: 2)
      #expect(verified.exitCode == 0 && verified.output.contains(text), "\(verified)")
    }
  }

  @Test(arguments: ["prompt-tuning", "full"]) func otherMethods(method: String) throws {
    let tiny = try TinyRun()
    let flags = ["--method", method, "--lora-dropout", "0"]
    #expect(try train(tiny, "two", flags, ranks: 2) == train(tiny, "alone", flags))
  }

  @Test(arguments: [(nil, 2), (3, nil)] as [(Int?, Int?)]) func resumed(before: Int?, after: Int?) throws {
    let tiny = try TinyRun()
    let whole = try train(tiny, "whole")
    let broken = try tiny.run(tiny.training(to: "run", Self.flags), ranks: before, faults: "throw:0:9")
    #expect(broken.exitCode == 1 && broken.errors.contains("injected failure"), "\(broken.errors)")
    #expect(try train(tiny, "run", ["--resume"], ranks: after) == whole)
    let other = try tiny.run(tiny.training(to: "run", Self.flags + ["--precision", "fp32", "--resume"]))
    #expect(other.exitCode == 1 || other.errors.contains("nothing to do"), "\(other.errors)")
  }

  @Test func evaluationInHalfPrecision() throws {
    let tiny = try TinyRun()
    _ = try train(tiny, "run")
    func losses(_ flags: [String], ranks: Int? = nil) throws -> [String] {
      let run = try tiny.run(tiny.evaluation(["--adapter", tiny.file("run/adapter").path] + flags), ranks: ranks)
      #expect(run.exitCode == 0, "\(run.errors)")
      return run.lines.filter { !$0.contains("eval_seconds") }
    }
    let half = try losses(["--precision", "fp16"])
    #expect(try losses(["--precision", "fp16"], ranks: 2) == half)
    #expect(try losses([]) != half)
  }

  // MARK: The file of the weights

  @Test(arguments: ["fp16", "bf16"]) func aDamagedFileOfWeightsIsMadeAnew(precision: String) throws {
    let tiny = try TinyRun()
    let flags = ["--precision", precision]
    let whole = try train(tiny, "whole", flags)
    let folder = tiny.file("cache/peft-dist/packed")
    let name = try #require(
      FileManager.default.contentsOfDirectory(atPath: folder.path).first { !$0.hasSuffix(".lock") })
    let file = folder.appending(path: name)
    let good = try Data(contentsOf: file)
    // A value, and a digit of the digest.
    for (place, ranks) in [(2000, nil), (2000, 2), (good.count - 4096 + 3, 3)] as [(Int, Int?)] {
      var damaged = good
      damaged[place] ^= 0x41
      try damaged.write(to: file)
      let run = try tiny.run(
        tiny.training(to: "run-\(place)-\(ranks ?? 0)", Self.flags + flags), ranks: ranks)
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(
        run.errors.components(separatedBy: "the packed weights \(file.path) are damaged").count == 2, "\(run.errors)")
      #expect(try RunResults(tiny.file("run-\(place)-\(ranks ?? 0)")) == whole)
      #expect(try Data(contentsOf: file) == good)
    }
  }

  // MARK: The range

  /// The scale starts where gradients overflow and comes down until they do not.
  @Test func overflowingStepsAreSkipped() throws {
    let tiny = try TinyRun()
    let scaling = ["--initial-loss-scale", "1e9"]
    let whole = try train(tiny, "alone", scaling)
    let steps = try RunResults.lines(of: tiny.file("alone/metrics.jsonl")).map { try JSONObject(line: $0) }
      .filter { $0["loss_scale"] != nil }
    let skipped = try steps.map { try $0.optionalBool("skipped") ?? false }
    let count = skipped.count { $0 }
    #expect((1..<12).contains(count) && skipped.prefix(count).allSatisfy { $0 }, "\(skipped)")
    #expect(try steps.last?.double("loss_scale") == 1e9 / Double(1 << count))
    #expect(try train(tiny, "three", scaling, ranks: 3) == whole)
  }

  /// A weight that multiplies activations out of the range: no scale helps, and the layer is named.
  @Test(arguments: [nil, 2] as [Int?]) func anOverflowingActivationIsNamed(ranks: Int?) throws {
    let tiny = try TinyRun()
    try tiny.replaceWeights(["decoder.block.1.layer.0.SelfAttention.k.weight": [32, 32]], with: 60_000)
    let run = try tiny.run(
      tiny.training(to: "run", Self.flags + ["--initial-loss-scale", "2"]), ranks: ranks)
    #expect(run.exitCode == 1)
    run.expectOneError(containing: [
      "step 2: ", "at the output of decoder.block.1.layer.0.SelfAttention.k", "fp16 ends at 65504",
      "--precision bf16 or fp32",
    ])
  }

  @Test func aWeightBeyondTheRangeIsNamed() throws {
    let tiny = try TinyRun()
    let name = "encoder.block.0.layer.0.SelfAttention.q.weight"
    try tiny.replaceWeights([name: [32, 32]], with: 70_000)
    for (command, ranks) in [
      (tiny.training(to: "run", Self.flags), nil), (tiny.training(to: "run", Self.flags), 2),
      (tiny.evaluation(["--precision", "fp16"]), nil),
    ] as [([String], Int?)] {
      let run = try tiny.run(command, ranks: ranks)
      #expect(run.exitCode == 1)
      run.expectOneError(containing: [name, "70000", "--precision bf16 or fp32"])
    }
  }

  /// The down projections of T5 stay in fp32, weight and result.
  @Test func downProjectionsHaveNoLimit() throws {
    let tiny = try TinyRun()
    try tiny.replaceWeights(["encoder.block.0.layer.1.DenseReluDense.wo.weight": [32, 64]], with: 70_000)
    let run = try tiny.run(tiny.training(to: "run", Self.flags + ["--method", "prompt-tuning", "--lora-dropout", "0"]))
    #expect(run.exitCode == 0, "\(run.errors)")
  }

  private func train(
    _ tiny: TinyRun, _ output: String, _ flags: [String] = [], ranks: Int? = nil, threads: Int = 1
  ) throws -> RunResults {
    let run = try tiny.run(tiny.training(to: output, threads: threads, Self.flags + flags), ranks: ranks)
    #expect(run.exitCode == 0, "\(run.errors)")
    return try RunResults(tiny.file(output))
  }
}
