import Checkpoints
import Foundation
import TestSupport
import Testing
import Training

/// Loss scaling from the outside: the bits it does not change, and the steps it passes over.
@Suite struct LossScaleTests {
  private static let flags = [
    "--method", "lora", "--lora-dropout", "0.2", "--max-grad-norm", "0.05", "--learning-rate", "0.01",
    "--warmup-steps", "4", "--save-every", "1",
  ]
  /// 1024, doubled after three clean steps.
  private static let dynamic = ["--loss-scale", "dynamic", "--initial-loss-scale", "1024", "--loss-scale-window", "3"]
  private static let steps = 16

  // MARK: Steps that are finite

  @Test(arguments: [["--loss-scale", "1024"], ["--loss-scale", "1.5845633e29"], dynamic])
  func powersOfTwoChangeNoBit(scaling: [String]) throws {
    let tiny = try TinyRun()
    let plain = try train(tiny, "plain", [])
    let scaled = try train(tiny, "scaled", scaling)
    #expect(scaled.weights == plain.weights && scaled.summary == plain.summary)
    #expect(try digests(tiny, "scaled") == digests(tiny, "plain"))
    #expect(try Self.withoutScale(scaled.metrics) == Self.withoutScale(plain.metrics))
    #expect(try column("loss_scale", of: tiny, "plain") == Array(repeating: 1, count: Self.steps))
    let expected =
      scaling == Self.dynamic
      ? (0..<Self.steps).map { Double(1024 << ($0 / 3)) }
      : Array(repeating: scaling[1] == "1024" ? 1024 : 0x1p97, count: Self.steps)
    #expect(try column("loss_scale", of: tiny, "scaled") == expected)
  }

  @Test func otherConstantsRoundOnceMore() throws {
    let tiny = try TinyRun()
    _ = try train(tiny, "plain", [])
    _ = try train(tiny, "scaled", ["--loss-scale", "1000"])
    for name in ["loss", "grad_norm"] {
      let (plain, scaled) = (try column(name, of: tiny, "plain"), try column(name, of: tiny, "scaled"))
      #expect(plain.count == Self.steps && zip(plain, scaled).allSatisfy { abs($0 - $1) <= 1e-4 * abs($0) })
    }
  }

  // MARK: Steps that are not

  @Test func anOverflowIsPassedOver() throws {
    let tiny = try TinyRun()
    let whole = try train(tiny, "alone", Self.dynamic, faults: "nan:0:5")
    #expect(
      try column("loss_scale", of: tiny, "alone")
        == [1024, 1024, 1024, 2048, 2048, 1024, 1024, 1024, 2048, 2048, 2048, 4096, 4096, 4096, 8192, 8192])
    let steps = try stepObjects(tiny, "alone")
    #expect(try steps.map { try $0.optionalBool("skipped") ?? false } == (1...Self.steps).map { $0 == 5 })
    #expect(steps[4]["loss"] == nil && steps[4]["grad_norm"] == nil)
    // The schedule stands still: the step after has the rate that was not used.
    let rates = try column("learning_rate", of: tiny, "alone")
    #expect(rates[5] == rates[4] && rates[4] != rates[3] && rates[6] != rates[5])
    let digests = try digests(tiny, "alone")
    #expect(digests[4].tensors == digests[3].tensors && digests[5].tensors != digests[4].tensors)

    // Recomputed from what the run folder tells.
    let arguments = ["verify", tiny.file("alone").path, "--steps", "4..16"]
    let verified = try tiny.run(arguments, faults: "nan:0:5")
    #expect(verified.exitCode == 0 && verified.output.contains("13 steps, "), "\(verified)")
    #expect(try tiny.run(arguments).exitCode == 1)

    for (ranks, threads, faults) in [(2, 1, "nan:1:5"), (3, 2, "nan:2:5")] {
      let found = try train(tiny, "\(ranks)", Self.dynamic, ranks: ranks, threads: threads, faults: faults)
      #expect(found == whole, "\(ranks) ranks")
    }
  }

  /// The largest scale: some leaves overflow, others do not, until it has shrunk.
  @Test func realOverflowsGiveTheSameResultForAnyLayout() throws {
    let tiny = try TinyRun()
    // A large alpha makes gradients large enough.
    let scaling = ["--loss-scale", "dynamic", "--initial-loss-scale", "1.7014118e38", "--lora-alpha", "4096"]
    let whole = try train(tiny, "alone", scaling)
    let skipped = try stepObjects(tiny, "alone").count { $0["skipped"] != nil }
    #expect((1..<Self.steps - 4).contains(skipped))
    for (ranks, threads) in [(2, 1), (3, 2)] {
      #expect(try train(tiny, "\(ranks)", scaling, ranks: ranks, threads: threads) == whole, "\(ranks) ranks")
    }
  }

  /// The run breaks off before and after an overflow and a growth, and goes on with other ranks.
  @Test(arguments: [(4, nil, 2), (6, 2, nil), (9, nil, 3)] as [(Int, Int?, Int?)])
  func resumedRunsKeepTheScale(failingStep: Int, before: Int?, after: Int?) throws {
    let tiny = try TinyRun()
    let overflows = "nan:0:5,nan:0:12"
    let whole = try train(tiny, "whole", Self.dynamic, faults: overflows)
    let broken = try tiny.run(
      tiny.training(to: "run", Self.flags + Self.dynamic), ranks: before,
      faults: "\(overflows),throw:0:\(failingStep)")
    #expect(broken.exitCode == 1 && broken.errors.contains("injected failure"), "\(broken.errors)")
    let resumed = try train(tiny, "run", Self.dynamic + ["--resume"], ranks: after, faults: overflows)
    #expect(resumed == whole)
    #expect(try digests(tiny, "run") == digests(tiny, "whole"))
  }

  @Test func otherScalingAtResumeIsRefused() throws {
    let tiny = try TinyRun()
    let broken = try tiny.run(tiny.training(to: "run", Self.flags + Self.dynamic), faults: "throw:0:9")
    #expect(broken.exitCode == 1)
    for (scaling, part) in [
      ([], #"loss_scale: "dynamic" in the checkpoint, "none" now"#),
      (["--loss-scale", "8"], #"loss_scale: "dynamic" in the checkpoint, 8.0 now"#),
      (Self.dynamic.dropLast() + ["4"], "loss_scale_window: 3 in the checkpoint, 4 now"),
    ] as [([String], String)] {
      let run = try tiny.run(tiny.training(to: "run", Self.flags + scaling + ["--resume"]))
      #expect(run.exitCode == 1)
      run.expectOneError(containing: [part])
    }
  }

  // MARK: Steps that no scale can mend

  /// From 4 the scale comes down to 1 in two steps; then the third one counts.
  @Test(arguments: [nil, 2] as [Int?]) func stepsThatNoScaleMendsEndTheRun(ranks: Int?) throws {
    let tiny = try TinyRun()
    let faults = (3...9).map { "nan:0:\($0)" }.joined(separator: ",")
    let scaling = ["--loss-scale", "dynamic", "--initial-loss-scale", "4"]
    let run = try tiny.run(tiny.training(to: "run", Self.flags + scaling), ranks: ranks, faults: faults)
    #expect(run.exitCode == 1)
    run.expectOneError(containing: [
      "step 5: ", "in the leaf of the training examples ", "the loss scale has come down to 1.0", "--learning-rate",
    ])
    #expect(run.errors.contains("step 4: a gradient overflowed at loss scale 2.0"), "\(run.errors)")
    #expect(try column("loss_scale", of: tiny, "run") == [4, 4, 4, 2])

    let skipping = try train(tiny, "skipping", scaling + ["--non-finite", "skip"], ranks: ranks, faults: faults)
    #expect(skipping.metrics.count >= Self.steps)
    #expect(try column("loss_scale", of: tiny, "skipping") == [4, 4, 4, 2] + Array(repeating: 1, count: 12))
  }

  @Test func withoutScalingOneStepEndsTheRun() throws {
    let tiny = try TinyRun()
    for (scaling, part) in [
      ([], "the last checkpoint is kept. Lower"), (["--loss-scale", "64"], "lower --loss-scale"),
    ] {
      let run = try tiny.run(tiny.training(to: "run\(part.count)", Self.flags + scaling), faults: "nan:0:3")
      #expect(run.exitCode == 1)
      run.expectOneError(containing: ["step 3: ", part])
    }
  }

  @Test func aDamagedBaseIsNotBlamedOnTheScale() throws {
    let tiny = try TinyRun()
    try tiny.replaceWeights(["encoder.final_layer_norm.weight": [32]], with: .nan)
    let run = try tiny.run(tiny.training(to: "run", Self.flags + Self.dynamic))
    #expect(run.exitCode == 1)
    run.expectOneError(containing: ["step 1: ", "the base model is damaged, as encoder.final_layer_norm.weight"])
  }

  // MARK: Parts

  private func train(
    _ tiny: TinyRun, _ output: String, _ scaling: [String], ranks: Int? = nil, threads: Int = 1, faults: String = ""
  ) throws -> RunResults {
    let run = try tiny.run(
      tiny.training(to: output, threads: threads, Self.flags + scaling), ranks: ranks, faults: faults)
    #expect(run.exitCode == 0, "\(run.errors)")
    return try RunResults(tiny.file(output))
  }

  private func stepObjects(_ tiny: TinyRun, _ output: String) throws -> [JSONObject] {
    try RunResults.lines(of: tiny.file("\(output)/metrics.jsonl")).map { try JSONObject(line: $0) }
      .filter { $0["loss_scale"] != nil }
  }

  /// One number of each step; 0 for null.
  private func column(_ name: String, of tiny: TinyRun, _ output: String) throws -> [Double] {
    try stepObjects(tiny, output).map { try $0.optionalDouble(name) ?? 0 }
  }

  private func digests(_ tiny: TinyRun, _ output: String) throws -> [DigestLog.Step] {
    try DigestLog(runFolder: tiny.file(output)).steps
  }

  private static func withoutScale(_ metrics: [String]) throws -> [String] {
    try metrics.map { line in
      JSON.object(try JSONObject(line: line).members.filter { $0.key != "loss_scale" }).encoded(.compact)
    }
  }
}
