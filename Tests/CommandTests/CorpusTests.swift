import Checkpoints
import Foundation
import TensorCore
import TestSupport
import Testing

/// Pre-training on plain texts through the whole program: every family learns, with one result for any layout and after any
/// interruption.
@Suite struct CorpusTests {
  private static let families = ["t5", "gpt2", "roberta", "bert"]

  /// Twelve sentences of few words, two of which make a text, and for models that write two pairs beside them.
  private func corpus(_ tiny: TinyRun, pairs: Bool) throws -> URL {
    let words = "the film plot was good and it is a dull story".split(separator: " ")
    let generator = CounterGenerator(seed: 2, purpose: .sampling)
    var rows: [JSON] = (0..<24).map { number in
      let text = (0..<12 + number % 9).map {
        words[generator.integer(at: UInt64(number * 32 + $0), below: words.count)]
      }
      return ["text": .string(text.joined(separator: " "))]
    }
    if pairs { rows += [["source": "good", "target": " film"], ["source": "dull", "target": " plot"]] }
    let file = tiny.file("corpus.jsonl")
    try Data(rows.map { $0.encoded(.compact) + "\n" }.joined().utf8).write(to: file)
    return file
  }

  private func model(_ family: String, _ tiny: TinyRun) throws -> String {
    guard family != "t5" else { return tiny.model.path }
    let output = tiny.file("fresh").path
    let run = try tiny.run([
      "init-model", "--family", family, "--vocab-size", family == "bert" ? "256" : "1024", "--hidden-size", "32",
      "--layers", "2", "--heads", "4", "--max-positions", "64", "--tokenizer",
      TinyRun.goldens.appending(path: "tokenizers/\(family)").path, "--output", output,
    ])
    #expect(run.exitCode == 0, "\(run.errors)")
    return output
  }

  @Test(arguments: families) func learnedAlikeByAnyLayout(family: String) throws {
    let tiny = try TinyRun()
    let texts = try corpus(tiny, pairs: ["t5", "gpt2"].contains(family))
    let base = try model(family, tiny)
    // Beside the 12 tokens of a target, GPT-2's 64 positions have room for 20.
    let lengths = ["--max-source-length", "20"] + (family == "gpt2" ? ["--max-target-length", "12"] : [])
    func train(_ output: String, ranks: Int? = nil, threads: Int = 1, _ more: [String] = [], faults: String = "") throws
      -> MPIRun
    {
      try tiny.run(
        [
          "train", "--model", base, "--task", "corpus", "--train-file", texts.path, "--method", "full", "--steps", "12",
          "--global-batch-size", "8", "--leaf-tokens", "64", "--learning-rate", "3e-3", "--eval-every", "6",
          "--save-every", "4", "--validation-fraction", "0.2", "--threads-per-rank", "\(threads)", "--output",
          tiny.file(output).path,
        ] + lengths + more, ranks: ranks, faults: faults)
    }
    let run = try train("alone")
    #expect(run.exitCode == 0, "\(run.errors)")
    let alone = try RunResults(tiny.file("alone"))
    #expect(try train("two", ranks: 2, threads: 2).exitCode == 0)
    #expect(try RunResults(tiny.file("two")) == alone)
    #expect(try train("resumed", faults: "throw:0:9").exitCode != 0)
    #expect(try train("resumed", ["--resume"]).exitCode == 0)
    #expect(try RunResults(tiny.file("resumed")) == alone)
    #expect(try train("denser", ["--noise-density", "0.4"]).exitCode == 0)
    // A decoder hides nothing.
    #expect(try (RunResults(tiny.file("denser")).weights == alone.weights) == (family == "gpt2"))

    // What was trained has learned something of the texts, and judges as the run judged it.
    func loss(_ model: String) throws -> Double {
      let run = try tiny.run(
        ["evaluate", "--model", model, "--task", "corpus", "--eval-file", texts.path, "--leaf-tokens", "64"] + lengths)
      #expect(run.exitCode == 0, "\(run.errors)")
      return try JSONObject(line: run.output).double("eval_loss")
    }
    let (before, after) = (try loss(base), try loss(tiny.file("alone/adapter").path))
    #expect(after < before - 0.05, "\(before) \(after)")
  }

  /// Adafactor's rates relative to each tensor are another run, and need a rate.
  @Test func ratesRelativeToEachTensor() throws {
    let tiny = try TinyRun()
    let texts = try corpus(tiny, pairs: true)
    func train(_ output: String, _ more: [String]) throws -> MPIRun {
      try tiny.run(
        [
          "train", "--model", tiny.model.path, "--task", "corpus", "--train-file", texts.path, "--method", "full",
          "--steps", "4", "--global-batch-size", "8", "--optimizer", "adafactor", "--output", tiny.file(output).path,
        ] + more)
    }
    #expect(try train("plain", ["--learning-rate", "0.01"]).exitCode == 0)
    #expect(try train("relative", ["--learning-rate", "0.01", "--scale-parameter"]).exitCode == 0)
    #expect(try RunResults(tiny.file("plain")).weights != RunResults(tiny.file("relative")).weights)
    let free = try train("free", ["--scale-parameter"])
    #expect(free.exitCode == 2 && free.errors.contains("--scale-parameter goes with"), "\(free.errors)")
  }

  @Test func whatHasNoObjectiveOrNoAnswers() throws {
    let tiny = try TinyRun()
    let texts = try corpus(tiny, pairs: true)
    let asked = try tiny.run([
      "evaluate", "--model", tiny.model.path, "--task", "corpus", "--eval-file", texts.path, "--predictions",
      tiny.file("answers.jsonl").path,
    ])
    #expect(asked.exitCode == 2 && asked.errors.contains("asks for no answers"), "\(asked.errors)")
    let tokenizer = tiny.file("tokenizer").path
    let trained = try tiny.run([
      "train-tokenizer", "--input", tiny.data.appending(path: "train.jsonl").path, "--vocab-size", "70", "--extra-ids",
      "0", "--output", tokenizer,
    ])
    #expect(trained.exitCode == 0, "\(trained.errors)")
    let made = try tiny.run([
      "init-model", "--family", "t5", "--vocab-size", "70", "--hidden-size", "16", "--layers", "1", "--heads", "2",
      "--tokenizer", tokenizer, "--output", tiny.file("bare").path,
    ])
    #expect(made.exitCode == 0, "\(made.errors)")
    let run = try tiny.run([
      "train", "--model", tiny.file("bare").path, "--task", "corpus", "--train-file", texts.path, "--method", "full",
      "--output", tiny.file("run").path,
    ])
    #expect(run.exitCode == 1)
    run.expectOneError(containing: ["cannot hide tokens", "at least 2 sentinels"])
  }

  /// A plain text may fill all 64 positions; a pair shares them with its target. `run.yaml` says so again.
  @Test func aDecoderReadsTextsAsLongAsItsPositions() throws {
    let tiny = try TinyRun()
    let base = try model("gpt2", tiny)
    let text = Array(repeating: "the film was good", count: 40).joined(separator: " ")
    let file = tiny.file("long.jsonl")
    let rows: [JSON] = [["text": .string(text)], ["source": .string(text), "target": .string(text)]]
    try Data(rows.map { $0.encoded(.compact) + "\n" }.joined().utf8).write(to: file)
    let run = try tiny.run([
      "train", "--model", base, "--task", "corpus", "--train-file", file.path, "--method", "full", "--steps", "2",
      "--eval-every", "0", "--max-source-length", "64", "--output", tiny.file("run").path,
    ])
    #expect(run.exitCode == 0, "\(run.errors)")
    let yaml = try String(contentsOf: tiny.file("run/run.yaml"), encoding: .utf8)
    #expect(yaml.contains("max_source_length: 64\n") && yaml.contains("max_target_length: 32\n"), "\(yaml)")
    let again = try tiny.run(["train", "--config", tiny.file("run/run.yaml").path, "--output", tiny.file("two").path])
    #expect(again.exitCode == 0, "\(again.errors)")
    #expect(try RunResults(tiny.file("two")) == RunResults(tiny.file("run")))
    let more = try tiny.run([
      "evaluate", "--model", base, "--task", "corpus", "--eval-file", file.path, "--max-source-length", "65",
    ])
    #expect(more.exitCode == 1)
    more.expectOneError(containing: [
      "--max-source-length 65 is more than the model has room for", "at most 64 would fit",
    ])
  }

  /// Nothing to judge by is no perfect score.
  @Test func anEmptyFileJudgesNothing() throws {
    let tiny = try TinyRun()
    let (texts, base) = (try corpus(tiny, pairs: false), try model("roberta", tiny))
    let file = tiny.file("short.jsonl")
    try Data("{\"text\": \"\"}\n".utf8).write(to: file)
    try Data("\n\n".utf8).write(to: tiny.file("blank.txt"))
    for name in ["short.jsonl", "blank.txt"] {
      let path = tiny.file(name).path
      let judged = try tiny.run(["evaluate", "--model", base, "--task", "corpus", "--eval-file", path])
      #expect(judged.exitCode == 1)
      judged.expectOneError(containing: [name])
      let run = try tiny.run([
        "train", "--model", base, "--task", "corpus", "--train-file", texts.path, "--eval-file", path, "--method",
        "full", "--steps", "2", "--output", tiny.file("run").path,
      ])
      #expect(run.exitCode == 1)
      run.expectOneError(containing: [name])
    }
  }

  @Test func aClassifierWithoutTheHeadIsRefused() throws {
    let tiny = try TinyRun()
    let texts = try corpus(tiny, pairs: false)
    let output = tiny.file("classifier").path
    #expect(
      try tiny.run([
        "init-model", "--family", "roberta", "--vocab-size", "1024", "--hidden-size", "16", "--layers", "1", "--heads",
        "2", "--num-labels", "2", "--tokenizer", TinyRun.goldens.appending(path: "tokenizers/roberta").path, "--output",
        output,
      ]).exitCode == 0)
    let run = try tiny.run([
      "train", "--model", output, "--task", "corpus", "--train-file", texts.path, "--method", "full", "--output",
      tiny.file("run").path,
    ])
    #expect(run.exitCode == 1)
    run.expectOneError(containing: ["lm_head.dense.weight"])
  }
}
