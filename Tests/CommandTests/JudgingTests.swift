import Checkpoints
import Foundation
import TestSupport
import Testing

/// `evaluate`, `generate`, `inspect`, `doctor`, and how every command answers for itself.
@Suite struct JudgingTests {
  @Test func evaluationWritesPredictionsAndDump() throws {
    let tiny = try TinyRun()
    let (predictions, dump) = (tiny.file("predictions.jsonl"), tiny.file("dump.safetensors"))
    let files = ["--predictions", predictions.path, "--dump", dump.path]
    let run = try tiny.run(tiny.evaluation(files), ranks: 2)
    #expect(run.exitCode == 0, "\(run.errors)")
    let report = try JSONObject(line: run.output)
    #expect(try report.int("examples") == TinyRun.testCount)
    #expect(try report.double("eval_loss").isFinite)
    for key in ["eval_accuracy", "eval_f1", "eval_no_label_share"] {
      #expect(try (0...1).contains(report.double(key)), "\(key)")
    }

    let rows = try RunResults.lines(of: predictions).map { try JSONObject(line: $0) }
    #expect(try rows.map { try $0.string("id") } == (1...TinyRun.testCount).map(String.init))
    let words = ["negative", "positive"]
    #expect(try rows.map { try $0.string("target") } == (0..<TinyRun.testCount).map { words[$0 % 2] })
    let correct = try rows.filter { try $0.bool("correct") }
    #expect(try correct.allSatisfy { try $0.string("prediction") == $0.string("target") })
    #expect(try report.double("eval_accuracy") == Double(correct.count) / Double(rows.count))

    let file = try SafetensorsFile(dump)
    #expect(file.names == ["attention_mask", "input_ids", "labels", "logits"])
    let (ids, mask) = (try file.integers("input_ids"), try file.integers("attention_mask"))
    let shape = try #require(file.info("input_ids")?.shape)
    #expect(shape.count == 2 && shape[0] == TinyRun.testCount && shape[1] <= 48)
    #expect(file.info("attention_mask")?.shape == shape)
    for row in 0..<shape[0] {
      let range = row * shape[1]..<(row + 1) * shape[1]
      let length = mask[range].count { $0 == 1 }
      #expect(Array(mask[range]) == (0..<shape[1]).map { $0 < length ? 1 : 0 }, "padding is on the right")
      #expect(ids[range.lowerBound + length - 1] == 1, "a source ends with </s>")
      #expect(ids[range].dropFirst(length).allSatisfy { $0 == 0 })
      #expect(ids[range].prefix(length).allSatisfy { (1..<1100).contains($0) })
    }
    let labels = try #require(file.info("labels")?.shape)
    #expect(labels[0] == TinyRun.testCount && labels[1] <= 12)
    #expect(file.info("logits")?.shape == labels + [1128])
    let logits = try file.tensor("logits").values
    let targets = try file.integers("labels")
    for (place, target) in targets.enumerated() {
      let row = logits[place * 1128..<(place + 1) * 1128]
      #expect(target == -100 ? row.allSatisfy { $0 == 0 } : row.contains { $0 != 0 })
    }
    #expect(targets.count { $0 == 1 } == TinyRun.testCount, "every target ends with </s>")
  }

  @Test func limitAndSplitChooseTheExamples() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(tiny.evaluation(["--split", "train", "--eval-limit", "7"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(try JSONObject(line: run.output).int("examples") == 7)
  }

  @Test func generationAnswersEachLine() throws {
    let tiny = try TinyRun()
    let texts = ["the film was great", "", "the plot was dull and the ending weak", "a"]
    let arguments = [
      "generate", "--model", tiny.model.path, "--max-new-tokens", "5", "--threads-per-rank", "2",
    ]
    let piped = try tiny.run(arguments, input: texts.joined(separator: "\n") + "\n")
    #expect(piped.exitCode == 0, "\(piped.errors)")
    #expect(piped.lines.count == texts.count)
    #expect(piped.lines.contains { !$0.isEmpty })
    let file = tiny.file("texts.txt")
    try Data(texts.joined(separator: "\n").utf8).write(to: file)
    let read = try tiny.run(arguments + ["--input", file.path])
    #expect(read.exitCode == 0 && read.output == piped.output, "\(read.errors)")
    let alone = try tiny.run(arguments, input: texts[2])
    #expect(alone.lines == [piped.lines[2]], "an answer depends on its own line only")
    let none = try tiny.run(arguments)
    #expect(none.exitCode == 0 && none.output.isEmpty)
  }

  /// The same answers whatever the number of workers and the company of a line, the best first.
  @Test func generationSearchesWithBeams() throws {
    let tiny = try TinyRun()
    let texts = (0..<40).map { "the film \($0) was great and the plot \($0 * $0) not" }
    func generate(_ threads: Int, _ lines: [String], _ more: [String] = []) throws -> [String] {
      let run = try tiny.run(
        [
          "generate", "--model", tiny.model.path, "--max-new-tokens", "6", "--threads-per-rank", "\(threads)",
          "--num-beams", "3", "--length-penalty", "0.5", "--early-stopping", "never", "--min-new-tokens", "2",
          "--no-repeat-ngram-size", "2",
        ] + more, input: lines.joined(separator: "\n"))
      #expect(run.exitCode == 0, "\(run.errors)")
      return run.lines
    }
    let one = try generate(1, texts)
    #expect(one.count == 40 && Set(one).count > 1)
    #expect(try generate(2, texts) == one)
    #expect(try generate(1, Array(texts.prefix(9))) == Array(one.prefix(9)))
    let three = try generate(2, texts, ["--num-return-sequences", "3"])
    #expect(three.count == 120 && (0..<40).allSatisfy { three[3 * $0] == one[$0] })
    #expect((0..<40).contains { three[3 * $0] != three[3 * $0 + 1] })
  }

  @Test func evaluationSearchesWithBeams() throws {
    let tiny = try TinyRun()
    func evaluate(_ ranks: Int?, _ more: [String]) throws -> [String] {
      let predictions = tiny.file("predictions.jsonl")
      let run = try tiny.run(
        tiny.evaluation(["--predictions", predictions.path, "--max-target-length", "9"] + more), ranks: ranks)
      #expect(run.exitCode == 0, "\(run.errors)")
      return try RunResults.lines(of: predictions)
    }
    let beams = try evaluate(nil, ["--num-beams", "3"])
    #expect(try evaluate(2, ["--num-beams", "3"]) == beams)
    #expect(try evaluate(nil, []) != beams, "beams find other answers")
  }

  @Test func benchmarksReportRates() throws {
    let tiny = try TinyRun()
    let commands = [
      [
        "bench", "--steps", "1", "--warmup", "0", "--global-batch-size", "4", "--data-file",
        tiny.file("data/test.jsonl").path,
      ],
      [
        "bench", "generate", "--num-beams", "2", "--batch-size", "3", "--new-tokens", "4", "--source-length", "9",
        "--repeats", "1",
      ],
      ["bench", "evaluate", "--examples", "6", "--repeats", "1", "--data-file", tiny.file("data/test.jsonl").path],
    ]
    for command in commands {
      let run = try tiny.run(command + ["--model", tiny.model.path, "--threads-per-rank", "1"])
      #expect(run.exitCode == 0, "\(run.errors)")
      let report = try JSONObject(line: run.output)
      for key in ["examples_per_second", "matrix_ceiling_gflops", "share_of_ceiling", "useful_gflops"] {
        #expect(try report.double(key) > 0, "\(key)")
      }
    }
  }

  @Test func inspectionTellsWhatIsThere() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(tiny.training(to: "run", ["--steps", "2", "--method", "lora"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    let expectations = [
      ("model", ["type t5", "shared.weight [1128, 32]"]), ("run", ["newest usable: step 2", "method: lora"]),
      (
        "run/adapter",
        [
          "peft_type: \"LORA\"", "method lora;",
          "encoder.block.*.layer.*.SelfAttention.q.lora_A.weight [8, 32] x 2: 512",
          "24 tensors, 6,144 parameters",
        ]
      ),
      ("model/model.safetensors", ["shared.weight F32 [1128, 32]"]),
      ("run/checkpoints/step-000002", ["\"step\": 2", "optimizer/exp_avg/0"]),
    ]
    for (path, parts) in expectations {
      let shown = try tiny.run(["inspect", tiny.file(path).path])
      #expect(shown.exitCode == 0, "\(shown.errors)")
      for part in parts { #expect(shown.output.contains(part), "\(path): \(shown.output)") }
    }
    for path in ["nix", "data"] {
      let shown = try tiny.run(["inspect", tiny.file(path).path])
      #expect(shown.exitCode == 1)
      shown.expectOneError(containing: [tiny.file(path).path])
    }
  }

  @Test func doctorEndsInAVerdict() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(["doctor", "--output", tiny.folder.path], ranks: 2)
    #expect(
      run.lines.contains { $0.hasPrefix("rank 0 of 2") } && run.lines.contains { $0.hasPrefix("rank 1 of 2") }
    )
    let verdict = try #require(run.lines.last)
    // Whether this machine is well is its own affair; verdict and exit code must agree.
    #expect(run.exitCode == (verdict == "all well" ? 0 : 1), "\(run.output)\(run.errors)")
    let elsewhere = try tiny.run(["doctor", "--output", tiny.file("nix").path])
    #expect(elsewhere.exitCode == 1)
    #expect(elsewhere.output.contains("cannot write to \(tiny.file("nix").path)"), "\(elsewhere.output)")
  }

  // MARK: Usage

  private static func initModel(_ family: String, heads: Int = 2) -> [String] {
    [
      "init-model", "--family", family, "--vocab-size", "9", "--hidden-size", "8", "--layers", "1", "--heads",
      "\(heads)", "--output", "/nowhere/model",
    ]
  }

  private static let commands = [
    "train", "evaluate", "generate", "merge", "convert-prompt", "inspect", "conformance", "doctor", "bench", "diff",
    "verify", "init-model", "train-tokenizer",
  ]

  @Test func everyCommandHasHelp() throws {
    let tiny = try TinyRun()
    let top = try tiny.run(["--help"])
    #expect(top.exitCode == 0)
    let version = try tiny.run(["--version"])
    #expect(version.exitCode == 0 && version.lines.count == 1)
    for command in Self.commands {
      #expect(top.output.contains("  \(command) "), "\(command) is not listed")
      let help = try tiny.run([command, "--help"])
      #expect(help.exitCode == 0 && help.output.contains("USAGE: peft-dist \(command)"), "\(help.output)")
    }
    let together = try tiny.run(["train", "--help"], ranks: 2)
    #expect(together.exitCode == 0)
    #expect(together.output.components(separatedBy: "USAGE:").count == 2, "help is printed once")
  }

  @Test(arguments: [
    (["nonsense"], "nonsense"), (["train"], "--output"),
    (
      ["train", "--model", "m", "--task", "imdb", "--data-dir", "d", "--output", "o", "--learningrate", "1"],
      "Unknown option '--learningrate'"
    ),
    (
      ["train", "--model", "m", "--task", "imdb", "--data-dir", "d", "--output", "o", "--lora-r", "16"],
      "--lora-r 16 belongs to the method lora, and --method is prompt-tuning"
    ),
    (
      ["train", "--model", "m", "--task", "pair", "--data-dir", "d", "--output", "o", "--label-names", "no,no"],
      "--label-names no,no: expected names that differ"
    ),
    (["train", "--model", "m", "--data-dir", "d", "--output", "o"], "--task is needed: one of imdb, "),
    (["inspect"], "path"), (["evaluate", "--model", "m"], "--data-dir or --eval-file"),
    (["evaluate", "--model", "m", "--data-dir", "d", "--split", "dev"], "--split dev"),
    (["generate", "--model", "m", "--max-new-tokens", "0"], "--max-new-tokens 0"),
    (["generate", "--model", "m", "--num-beams", "0"], "--num-beams 0: expected 1 to 256"),
    (["generate", "--model", "m", "--length-penalty", "2"], "--length-penalty 2.0 is for beam search"),
    (["generate", "--model", "m", "--num-beams", "2", "--early-stopping", "soon"], "expected true, false or never"),
    (["generate", "--model", "m", "--num-beams", "2", "--num-return-sequences", "3"], "--num-beams 2"),
    (
      ["generate", "--model", "m", "--suppress-tokens", "5,x"],
      "--suppress-tokens 5,x: expected ids such as 5,9, or none"
    ),
    (["generate", "--model", "m", "--bad-words-ids", "5"], "--bad-words-ids 5: expected lists of ids"),
    (["generate", "--model", "m", "--min-new-tokens", "65"], "--max-new-tokens allows 64"),
    (["generate", "--model", "m", "--temperature", "0.7"], "--temperature 0.7 is for sampling: give --do-sample"),
    (["generate", "--model", "m", "--top-k", "0"], "--top-k 0 is for sampling"),
    (["generate", "--model", "m", "--seed", "1"], "--seed 1 is for sampling"),
    (["generate", "--model", "m", "--do-sample", "--num-beams", "2"], "--do-sample does not go with --num-beams 2"),
    (
      ["generate", "--model", "m", "--do-sample", "--temperature", "0"], "--temperature 0.0: expected a number above 0"
    ),
    (["generate", "--model", "m", "--do-sample", "--top-p", "0"], "--top-p 0.0"),
    (["generate", "--model", "m", "--do-sample", "--min-p", "2"], "--min-p 2.0"),
    (["generate", "--model", "m", "--stop", ""], "--stop: the text is empty"),
    (["evaluate", "--model", "m", "--data-dir", "d", "--seed", "1"], "--seed 1 is for sampling"),
    (Self.initModel("t6"), "--family t6: expected t5, gpt2, roberta, bert"),
    (Self.initModel("gpt2") + ["--gated"], "--gated is for --family t5, not gpt2"),
    (Self.initModel("t5") + ["--max-positions", "9"], "--max-positions: T5"),
    (Self.initModel("t5") + ["--num-labels", "2"], "--num-labels is for --family roberta or bert"),
    (Self.initModel("bert", heads: 3), "--heads 3: --hidden-size 8 is not a multiple"),
    (["train-tokenizer", "--input", "a", "--output", "o", "--vocab-size", "3"], "--vocab-size 3: expected 4"),
    (["evaluate", "--model", "m", "--data-dir", "d", "--repetition-penalty", "0"], "--repetition-penalty 0"),
    (["bench", "generate", "--new-tokens", "0"], "--new-tokens 0"),
    (["bench", "evaluate"], "--data-file is needed"),
  ])
  func usageErrorsExitWith2(arguments: [String], part: String) throws {
    let run = try MPIRun("peft-dist", ranks: nil, arguments: arguments)
    #expect(run.exitCode == 2 && run.output.isEmpty, "\(run.output)")
    run.expectOneError(containing: [part])
  }

  @Test func usageErrorOfAJobIsToldOnce() throws {
    let run = try MPIRun("peft-dist", ranks: 3, arguments: ["train", "--model", "m"])
    #expect(run.exitCode == 2, "\(run.errors)")
    run.expectOneError(containing: ["Missing expected argument '--output <dir>'"])
  }
}
