import Checkpoints
import Foundation
import TestSupport
import Testing

/// One result, whatever the number of ranks and threads: adapter bytes, metrics and predictions.
@Suite struct LayoutTests {
  /// Ranks (nil: without mpirun) and threads of each.
  struct Layout: CustomStringConvertible {
    let ranks: Int?
    let threads: Int
    var description: String { "\(ranks.map(String.init) ?? "alone") x \(threads)" }
  }

  private static let isSlowRun = ProcessInfo.processInfo.environment["PEFT_DIST_SLOW_TESTS"] == "1"
  private static let layouts = [(1, 1), (nil, 2), (2, 1), (3, 1), (2, 2)].map(Layout.init)
  private static let manyRanks = [(4, 1), (8, 1), (3, 2)].map(Layout.init)

  enum Method: String, CaseIterable, CustomTestStringConvertible {
    case prompt, lora, full, dora, tuning, adapter, both
    var testDescription: String { rawValue }

    var flags: [String] {
      switch self {
      case .prompt: ["--method", "prompt-tuning", "--virtual-tokens", "5"]
      case .lora:
        ["--method", "lora", "--lora-dropout", "0.2", "--max-grad-norm", "0.05", "--learning-rate", "0.01"]
      case .dora:
        [
          "--method", "lora", "--use-dora", "--lora-dropout", "0.1", "--target-modules", "k,v", "--lora-plus-ratio",
          "4",
        ]
      case .tuning: ["--method", "p-tuning", "--virtual-tokens", "4", "--encoder-hidden-size", "12"]
      case .adapter:
        ["--method", "adapter", "--adapter-placement", "houlsby", "--reduction-factor", "4", "--learning-rate", "0.01"]
      case .both:
        [
          "--method", "prefix-tuning+ia3", "--prefix-projection", "--encoder-hidden-size", "10", "--virtual-tokens",
          "3",
          "--learning-rate-of", "ia3=0.02",
        ]
      case .full:
        ["--method", "full", "--learning-rate", "0.001", "--schedule", "cosine", "--warmup-steps", "2"]
      }
    }
  }

  @Test(
    arguments: [(Method.prompt, layouts), (.lora, layouts), (.full, Array(layouts.suffix(2)))]
      + [Method.dora, .tuning, .adapter, .both].map { ($0, [layouts[3]]) })
  func sameBytesForAnyLayout(method: Method, layouts: [Layout]) throws {
    try compare(layouts, method.flags, evaluates: method == .lora)
  }

  @Test(arguments: [["--optimizer", "adafactor"], ["--optimizer", "sgd", "--learning-rate", "0.5"]])
  func sameBytesWithOtherOptimizers(optimizer: [String]) throws {
    try compare([Layout(ranks: 3, threads: 2)], Method.lora.flags + optimizer, evaluates: false)
  }

  @Test func sameBytesWithMoreRanksThanLeaves() throws {
    let tiny = try TinyRun()
    let flags = Method.prompt.flags + ["--leaf-tokens", "4096", "--steps", "3"]
    let alone = try tiny.run(tiny.training(to: "alone", flags))
    #expect(alone.exitCode == 0 && !alone.errors.contains("leaves for"), "\(alone.errors)")
    let many = try tiny.run(tiny.training(to: "many", flags), ranks: 3)
    #expect(many.exitCode == 0, "\(many.errors)")
    #expect(many.errors.contains("a step has 1 leaf for 3 workers"), "\(many.errors)")
    #expect(try RunResults(tiny.file("alone")) == RunResults(tiny.file("many")))
  }

  @Test(.enabled(if: isSlowRun, "set PEFT_DIST_SLOW_TESTS=1"), arguments: Method.allCases)
  func sameBytesForManyRanks(method: Method) throws {
    try compare(Self.manyRanks, method.flags, evaluates: true)
  }

  /// Another seed, another result: the comparisons above compare something that training has made.
  @Test func theSeedMattersAndTrainingLearns() throws {
    let tiny = try TinyRun()
    for seed in ["42", "43"] {
      let run = try tiny.run(tiny.training(to: seed, Method.lora.flags + ["--seed", seed, "--epochs", "6"]))
      #expect(run.exitCode == 0, "\(run.errors)")
    }
    let (one, other) = (try RunResults(tiny.file("42")), try RunResults(tiny.file("43")))
    #expect(one.weights != other.weights)
    let losses = try one.metrics.map { try JSONObject(line: $0) }.filter { $0["loss"] != nil }
      .map { try $0.double("loss") }
    #expect(losses.count == 48)
    let (first, last) = (losses.prefix(8).reduce(0, +), losses.suffix(8).reduce(0, +))
    #expect(last < 0.9 * first, "loss of the first epoch \(first / 8), of the last \(last / 8)")
  }

  /// Trains alone on one thread and on each layout, evaluates in the same layout, and compares everything.
  private func compare(_ layouts: [Layout], _ flags: [String], evaluates: Bool) throws {
    let tiny = try TinyRun()
    let reference = try train(tiny, Layout(ranks: nil, threads: 1), flags)
    #expect(reference.metrics.count == 2 * 8 + 2)
    let judged = evaluates ? try evaluate(tiny, Layout(ranks: nil, threads: 1), flags) : []
    #expect(!evaluates || judged.count > TinyRun.testCount)
    for layout in layouts {
      let found = try train(tiny, layout, flags)
      #expect(found.weights == reference.weights, "adapter of \(layout)")
      #expect(found.metrics == reference.metrics, "metrics of \(layout)")
      #expect(found.summary == reference.summary, "summary of \(layout)")
      if evaluates { #expect(try evaluate(tiny, layout, flags) == judged, "evaluation of \(layout)") }
    }
  }

  private func train(_ tiny: TinyRun, _ layout: Layout, _ flags: [String]) throws -> RunResults {
    let output = "run-\(layout)"
    let run = try tiny.run(tiny.training(to: output, threads: layout.threads, flags), ranks: layout.ranks)
    #expect(run.exitCode == 0, "\(layout): \(run.errors)")
    return try RunResults(tiny.file(output))
  }

  /// Lines of predictions and report, times left out, of what `train` left.
  private func evaluate(_ tiny: TinyRun, _ layout: Layout, _ flags: [String]) throws -> [String] {
    let (adapter, predictions) = (tiny.file("run-\(layout)/adapter"), tiny.file("predictions-\(layout)"))
    let run = try tiny.run(
      tiny.evaluation([
        flags.contains("full") ? "--model" : "--adapter", adapter.path, "--predictions", predictions.path,
        "--threads-per-rank", "\(layout.threads)",
      ]), ranks: layout.ranks)
    #expect(run.exitCode == 0, "\(layout): \(run.errors)")
    return RunResults.lines(of: predictions) + run.lines.filter { !$0.contains("eval_seconds") }
  }
}
