import Checkpoints
import Foundation
import TensorCore
import TestSupport
import Testing

/// GPT-2 and BERT's family through the whole program: one result for any layout and after any interruption, adapters that
/// judge and classify, errors where a model has no room.
@Suite struct FamilyTests {
  /// A tiny model of a family on generated data, and what to tell the program about them.
  struct Family: CustomTestStringConvertible, Sendable {
    let name: String
    let task: String
    let flags: [String]
    var testDescription: String { "\(name) \(flags.joined(separator: " "))" }
  }

  static let families = [
    Family(name: "gpt2", task: "cnn_dailymail", flags: ["--method", "lora", "--target-modules", "c_attn,c_fc"]),
    Family(name: "gpt2", task: "cnn_dailymail", flags: ["--method", "prefix-tuning", "--loss-on", "all"]),
    Family(name: "roberta", task: "mrpc", flags: ["--method", "p-tuning", "--prompt-encoder", "mlp"]),
    Family(name: "roberta", task: "mrpc", flags: ["--method", "full", "--learning-rate", "1e-3"]),
    Family(
      name: "bert", task: "mrpc",
      flags: ["--method", "p-tuning-template", "--prompt-template", "[P2] {sentence1} [P1] {sentence2} the [P1]"]),
    Family(name: "bert", task: "mrpc", flags: ["--method", "bitfit"]),
  ]

  @Test(arguments: families) func sameBytesForAnyLayout(family: Family) throws {
    let tiny = try TinyFamily(family)
    let alone = try tiny.train("alone")
    #expect(try tiny.train("three", ranks: 3) == alone)
    #expect(try tiny.train("threads", ranks: 2, threads: 2) == alone)
    #expect(try tiny.train("bf16", ["--precision", "bf16"]).weights != alone.weights)
  }

  @Test(arguments: [families[0], families[2]]) func killedAndResumed(family: Family) throws {
    let tiny = try TinyFamily(family)
    let whole = try tiny.train("whole", ["--epochs", "6", "--save-every", "1"])
    let stopped = try tiny.tiny.run(
      tiny.arguments("run", ["--epochs", "6", "--save-every", "1"]), faults: "throw:0:9")
    #expect(stopped.exitCode != 0, "\(stopped.errors)")
    #expect(try tiny.train("run", ["--epochs", "6", "--save-every", "1", "--resume"], ranks: 2) == whole)
  }

  /// What was trained is what judges: the evaluation of the adapter gives the run's own test figures.
  @Test(arguments: [families[0], families[2], families[3]]) func theAdapterJudges(family: Family) throws {
    let tiny = try TinyFamily(family)
    _ = try tiny.train("run")
    let summary = try JSONObject(file: tiny.tiny.file("run/summary.json"))
    let isFull = family.flags.contains("full")
    let run = try tiny.tiny.run(
      [
        "evaluate", "--task", family.task, "--data-dir", tiny.data.path, "--split", "test", "--threads-per-rank", "1",
        "--leaf-tokens", "64", "--predictions", tiny.tiny.file("predictions.jsonl").path,
        "--model", isFull ? tiny.tiny.file("run/adapter").path : tiny.model.path,
      ] + (isFull ? [] : ["--adapter", tiny.tiny.file("run/adapter").path]) + tiny.lengths)
    #expect(run.exitCode == 0, "\(run.errors)")
    let report = try JSONObject(line: run.output)
    #expect(try report.double("eval_loss") == summary.double("test_loss"))
    let metric = family.name == "gpt2" ? "rougeLsum" : "accuracy"
    #expect(try report.double("eval_\(metric)") == summary.double("test_\(metric)"))
    #expect((report["baselines"] != nil) == (family.name == "gpt2"))
    #expect(RunResults.lines(of: tiny.tiny.file("predictions.jsonl")).count == TinyFamily.testCount)
  }

  @Test func aClassifierSaysWhatItMakesOfAPair() throws {
    let tiny = try TinyFamily(Self.families[2])
    _ = try tiny.train("run")
    let arguments = [
      "classify", "--model", tiny.model.path, "--adapter", tiny.tiny.file("run/adapter").path, "the film was good",
      "a good film",
    ]
    let run = try tiny.tiny.run(arguments)
    #expect(run.exitCode == 0, "\(run.errors)")
    let labels = run.lines.map { $0.split(separator: " ").first.map(String.init) ?? "" }
    #expect(Set(labels) == ["equivalent", "not_equivalent"])
    #expect(run.lines.allSatisfy { $0.hasSuffix(" %") })
    let json = try JSONObject(line: try tiny.tiny.run(arguments + ["--json"]).output)
    let sum = try json.double("equivalent") + json.double("not_equivalent")
    #expect(abs(sum - 1) < 1e-9)
    // Without the adapter there is no head, and a model that writes text is no classifier.
    let bare = try tiny.tiny.run(["classify", "--model", tiny.model.path, "a", "b"])
    #expect(bare.exitCode == 1 && bare.errors.contains("classifier's head"), "\(bare.errors)")
    let written = try tiny.tiny.run(["classify", "--model", tiny.tiny.model.path, "a"])
    #expect(written.exitCode == 1 && written.errors.contains("see generate"), "\(written.errors)")
    let generated = try tiny.tiny.run(["generate", "--model", tiny.model.path], input: "a\n")
    #expect(generated.exitCode == 1 && generated.errors.contains("see classify"), "\(generated.errors)")
  }

  /// Labels whose order is not that of their bytes, and the head, whichever of several methods brings it: a model that was tuned in full has them in its `config.json`, of several
  /// adapters in one folder each has them.
  @Test(arguments: ["full", "lora+prompt-tuning", "prompt-tuning+lora", "prompt-tuning+bitfit"])
  func theNamesOfLabelsStay(method: String) throws {
    let tiny = try TinyFamily(Self.families[3])
    let rows = (0..<24).map { number -> JSON in
      let name = ["yes", "no", "maybe"][number % 3]
      return ["sentence1": .string("\(name) \(name) \(number)"), "label": .string(name)]
    }
    let file = tiny.tiny.file("pairs.jsonl")
    try Data(rows.map { $0.encoded(.compact) + "\n" }.joined().utf8).write(to: file)
    let common = ["--task", "pair", "--threads-per-rank", "1", "--leaf-tokens", "64"]
    let trained = try tiny.tiny.run(
      [
        "train", "--model", tiny.model.path, "--train-file", file.path, "--test-file", file.path, "--label-names",
        "yes,no,maybe", "--method", method, "--learning-rate", "3e-3", "--steps", "20",
        "--output", tiny.tiny.file("run").path,
      ] + (method == "full" ? [] : ["--virtual-tokens", "2"]) + common)
    #expect(trained.exitCode == 0, "\(trained.errors)")
    let adapter = tiny.tiny.file("run/adapter").path
    let tuned = method == "full" ? ["--model", adapter] : ["--model", tiny.model.path, "--adapter", adapter]
    let judged = try tiny.tiny.run(["evaluate", "--eval-file", file.path] + tuned + common)
    #expect(judged.exitCode == 0, "\(judged.errors)")
    let summary = try JSONObject(file: tiny.tiny.file("run/summary.json"))
    let report = try JSONObject(line: judged.output)
    #expect(try report.double("eval_accuracy") == summary.double("test_accuracy"))
    #expect(try report.double("eval_loss") == summary.double("test_loss"))
    let said = try tiny.tiny.run(["classify"] + tuned + ["yes yes"])
    #expect(said.exitCode == 0, "\(said.errors)")
    #expect(Set(said.lines.map { $0.split(separator: " ").first ?? "" }) == ["yes", "no", "maybe"], "\(said.output)")
    if method.contains("+") {
      let more = try tiny.tiny.run(
        [
          "train", "--model", tiny.model.path, "--train-file", file.path, "--test-file", file.path, "--label-names",
          "yes,no,maybe", "--method", "\(method)", "--learning-rate", "0", "--steps", "1", "--virtual-tokens", "2",
          "--init-adapter", adapter, "--output", tiny.tiny.file("more").path,
        ] + common)
      if method.hasSuffix("bitfit") {
        // Its files are those of a LoRA.
        more.expectOneError(containing: ["--method is prompt-tuning+bitfit"])
      } else {
        #expect(more.exitCode == 0, "\(more.errors)")
        let again = try JSONObject(file: tiny.tiny.file("more/summary.json"))
        #expect(try again.double("test_loss") == summary.double("test_loss"))
      }
    }
    // A head that was drawn just now judges nothing.
    let bare = try tiny.tiny.run(["evaluate", "--model", tiny.model.path, "--eval-file", file.path] + common)
    #expect(bare.exitCode == 1)
    bare.expectOneError(containing: ["classifier's head", "--adapter"])
  }

  /// The numbers themselves, not their bits as whole numbers.
  @Test func theDumpOfARegressionHasItsNumbers() throws {
    let tiny = try TinyFamily(Self.families[2])
    let (data, dump) = (tiny.tiny.file("scores.csv"), tiny.tiny.file("dump.safetensors"))
    let scorer = tiny.tiny.file("scorer").path
    let made = try tiny.tiny.run([
      "init-model", "--family", "roberta", "--vocab-size", "1024", "--hidden-size", "16", "--layers", "1", "--heads",
      "2",
      "--num-labels", "1", "--tokenizer", tiny.model.path, "--output", scorer,
    ])
    #expect(made.exitCode == 0, "\(made.errors)")
    try Data("sentence1,score\na film,0\na plot,0.5\nthe end,-1.25\n".utf8).write(to: data)
    let run = try tiny.tiny.run([
      "evaluate", "--model", scorer, "--task", "regression", "--eval-file", data.path, "--dump", dump.path,
    ])
    #expect(run.exitCode == 0, "\(run.errors)")
    let file = try SafetensorsFile(dump)
    #expect(file.info("labels")?.shape == [3, 1] && file.info("logits")?.shape == [3, 1, 1])
    #expect(try file.tensor("labels").values == [0, 0.5, -1.25])
  }

  @Test func aModelWithoutRoomSaysSo() throws {
    let tiny = try TinyFamily(Self.families[0])
    let run = try tiny.tiny.run(tiny.arguments("run", ["--max-source-length", "120"]))
    #expect(run.exitCode == 1)
    #expect(
      run.errors.contains("--max-source-length 120 is more than the model has room for: of its 128 positions")
        && run.errors.contains("at most 116 would fit"),
      "\(run.errors)")
  }

  @Test func aDecoderGoesOnFromTheEndOfAText() throws {
    let tiny = try TinyFamily(Self.families[0])
    let words = Array(repeating: "the film", count: 200).joined(separator: " ")
    func generate(_ text: String) throws -> [String] {
      let run = try tiny.tiny.run(
        ["generate", "--model", tiny.model.path, "--max-new-tokens", "8", "--max-source-length", "20"],
        input: text + "\n")
      #expect(run.exitCode == 0, "\(run.errors)")
      return run.lines
    }
    let tail = " was it good or not and was the end of it strong as it was said to be"
    #expect(try generate(words + tail) == generate("a plot" + tail))
    #expect(try generate(words + tail) != generate(words))
  }
}

/// A family's tiny model, made by `init-model`, with a golden tokenizer, and data for its task.
final class TinyFamily {
  let tiny: TinyRun
  let family: FamilyTests.Family
  var model: URL { tiny.file("family") }
  var data: URL { tiny.file("family-data") }

  static let trainCount = 30
  static let testCount = 9

  init(_ family: FamilyTests.Family) throws {
    tiny = try TinyRun()
    self.family = family
    let tokenizer = TinyRun.goldens.appending(path: "tokenizers/\(family.name)")
    let run = try tiny.run([
      "init-model", "--family", family.name, "--vocab-size", family.name == "bert" ? "256" : "1024", "--hidden-size",
      "32", "--layers", "2", "--heads", "4", "--max-positions", "128", "--tokenizer", tokenizer.path, "--output",
      model.path,
    ])
    #expect(run.exitCode == 0, "\(run.errors)")
    try FileManager.default.createDirectory(at: data, withIntermediateDirectories: true)
    for (name, count, first) in [("train", Self.trainCount, 0), ("validation", 8, 100), ("test", Self.testCount, 200)] {
      let lines = (first..<first + count).map { row(number: $0).encoded(.compact) + "\n" }
      try Data(lines.joined().utf8).write(to: data.appending(path: "\(name).jsonl"))
    }
  }

  private func row(number: Int) -> JSON {
    let generator = CounterGenerator(seed: 11, purpose: .sampling, site: UInt32(number))
    func words(_ count: Int, _ stream: Int) -> String {
      let all = "the a film movie plot was is good bad dull moving and of in to it".split(separator: " ")
      return (0..<count).map { all[generator.integer(at: UInt64(stream * 64 + $0), below: all.count)] }
        .joined(separator: " ")
    }
    if family.task == "mrpc" {
      return [
        "sentence1": .string(words(4 + number % 7, 0)), "sentence2": .string(words(3 + number % 5, 1)),
        "label": .integer(number % 3 == 0 ? 0 : 1),
      ]
    }
    return ["article": .string(words(9 + number % 20, 0)), "highlights": .string(words(3 + number % 4, 1))]
  }

  /// A decoder's targets are cut to 12 tokens.
  var lengths: [String] { family.name == "gpt2" ? ["--max-target-length", "12"] : [] }

  func arguments(_ output: String, threads: Int = 1, _ more: [String] = []) -> [String] {
    let isPrompt = family.flags.contains { $0 == "p-tuning" || $0 == "prefix-tuning" }
    return [
      "train", "--model", model.path, "--task", family.task, "--data-dir", data.path, "--output",
      tiny.file(output).path, "--threads-per-rank", "\(threads)", "--global-batch-size", "7", "--epochs", "2",
      "--leaf-tokens", "64", "--dropout", "0.1",
    ] + (isPrompt ? ["--virtual-tokens", "5"] : []) + lengths
      + family.flags + more
  }

  func train(_ output: String, _ more: [String] = [], ranks: Int? = nil, threads: Int = 1) throws -> RunResults {
    let run = try tiny.run(arguments(output, threads: threads, more), ranks: ranks)
    #expect(run.exitCode == 0, "\(family.testDescription): \(run.errors)")
    return try RunResults(tiny.file(output))
  }
}
