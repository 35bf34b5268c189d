import Checkpoints
import Foundation
import TestSupport
import Testing

/// What training did to its texts is part of the result: the other commands make the same of theirs.
@Suite struct TaskSettingsTests {
  private static let names = ["yes", "no", "maybe"]

  /// Pairs in capitals with tags between the words, longer than the limit; and the lines that `generate` reads.
  private static func pairs(_ tiny: TinyRun) throws -> (file: URL, texts: [[String]]) {
    let texts = (0..<24).map { number in
      let word = names[number % 3].uppercased()
      return [
        "\(word)<br />\(word) number \(number)", "THE SECOND TEXT \(word) OF A PAIR THAT IS LONGER THAN THE LIMIT",
      ]
    }
    let rows = texts.enumerated().map { number, pair -> JSON in
      ["sentence1": .string(pair[0]), "sentence2": .string(pair[1]), "label": .string(names[number % 3])]
    }
    let file = tiny.file("pairs.jsonl")
    try Data(rows.map { $0.encoded(.compact) + "\n" }.joined().utf8).write(to: file)
    return (file, texts)
  }

  private func predictions(_ tiny: TinyRun, _ arguments: [String]) throws -> [String] {
    let run = try tiny.run(["evaluate", "--predictions", tiny.file("predictions.jsonl").path] + arguments)
    #expect(run.exitCode == 0, "\(run.errors)")
    return try RunResults.lines(of: tiny.file("predictions.jsonl")).map {
      try JSONObject(line: $0).string("prediction")
    }
  }

  /// Element by element: each answer of `generate` is the prediction of `evaluate`, and its accuracy that of the run.
  @Test(arguments: ["t5", "gpt2", "t5 full"])
  func generateAnswersAsEvaluateJudges(kind: String) throws {
    let family = kind == "gpt2" ? try TinyFamily(FamilyTests.families[0]) : nil
    let tiny = try family?.tiny ?? TinyRun()
    let model = (family?.model ?? tiny.model).path
    let (file, texts) = try Self.pairs(tiny)
    let isFull = kind.hasSuffix("full")
    let trained = try tiny.run([
      "train", "--model", model, "--task", "pair", "--train-file", file.path, "--test-file", file.path, "--method",
      isFull ? "full" : "lora", "--learning-rate", "3e-3", "--steps", "12", "--lowercase", "--strip-html",
      "--max-source-length", "24", "--leaf-tokens", "64", "--threads-per-rank", "1", "--num-beams", "2", "--output",
      tiny.file("run").path,
    ])
    #expect(trained.exitCode == 0, "\(trained.errors)")
    let adapter = tiny.file("run/adapter").path
    let tuned = isFull ? ["--model", adapter] : ["--model", model, "--adapter", adapter]
    let judged = try predictions(tiny, tuned + ["--eval-file", file.path, "--leaf-tokens", "64"])
    let summary = try JSONObject(file: tiny.file("run/summary.json"))
    let right = zip(judged, texts.indices).count { $0.trimmingCharacters(in: .whitespaces) == Self.names[$1 % 3] }
    #expect(try Double(right) / 24 == summary.double("test_accuracy"))
    let answers = try tiny.run(
      ["generate"] + tuned, input: texts.map { $0.joined(separator: "\t") + "\n" }.joined())
    #expect(answers.exitCode == 0, "\(answers.errors)")
    #expect(
      answers.errors.contains("texts as in training") && answers.errors.contains("24 of 24 texts cut to 24 tokens"))
    #expect(
      answers.lines.map { $0.trimmingCharacters(in: .whitespaces) }
        == judged.map { $0.trimmingCharacters(in: .whitespaces) })
    // Merged into the base it answers alike, and without a word about the task.
    if kind == "t5" {
      let merged = tiny.file("merged").path
      let merge = try tiny.run(["merge"] + tuned + ["--output", merged])
      #expect(merge.exitCode == 0, "\(merge.errors)")
      #expect(try predictions(tiny, ["--model", merged, "--eval-file", file.path, "--leaf-tokens", "64"]).count == 24)
      // A value of another kind is no default.
      try tiny.replace("\"num_beams\": 2", by: "\"num_beams\": \"2\"", in: "merged/task_settings.json")
      let damaged = try tiny.run(["generate", "--model", merged], input: "a\tb\n")
      #expect(damaged.exitCode == 1)
      damaged.expectOneError(containing: ["merged/task_settings.json", "num_beams"])
    }
    // One text where training had two.
    let single = try tiny.run(["generate"] + tuned, input: "one text\n")
    #expect(single.exitCode == 1)
    single.expectOneError(containing: ["line 1", "2 texts (sentence1, sentence2)", "with a tab", "found 1"])
    let raw = try tiny.run(["generate", "--raw"] + tuned, input: "one text\n")
    #expect(raw.exitCode == 0, "\(raw.errors)")
  }

  @Test func classifyAnswersAsEvaluateJudges() throws {
    let family = try TinyFamily(FamilyTests.families[3])
    let tiny = family.tiny
    let (file, texts) = try Self.pairs(tiny)
    let trained = try tiny.run([
      "train", "--model", family.model.path, "--task", "pair", "--train-file", file.path, "--test-file", file.path,
      "--method", "lora", "--target-modules", "query,value", "--learning-rate", "3e-3", "--steps", "12", "--lowercase",
      "--strip-html", "--max-source-length", "16", "--leaf-tokens", "64", "--threads-per-rank", "1", "--output",
      tiny.file("run").path,
    ])
    #expect(trained.exitCode == 0, "\(trained.errors)")
    let tuned = ["--model", family.model.path, "--adapter", tiny.file("run/adapter").path]
    let judged = try predictions(tiny, tuned + ["--eval-file", file.path, "--leaf-tokens", "64"])
    for number in 0..<6 {
      let run = try tiny.run(["classify"] + tuned + texts[number])
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(run.lines.first?.split(separator: " ").first.map(String.init) == judged[number])
    }
  }

  /// What the file says and a flag or the data deny is an error that names both.
  @Test func contradictionsAreNamed() throws {
    let tiny = try TinyRun()
    let (file, _) = try Self.pairs(tiny)
    let trained = try tiny.run([
      "train", "--model", tiny.model.path, "--task", "pair", "--train-file", file.path, "--steps", "1",
      "--threads-per-rank", "1", "--output", tiny.file("run").path,
    ])
    #expect(trained.exitCode == 0, "\(trained.errors)")
    let tuned = ["evaluate", "--model", tiny.model.path, "--adapter", tiny.file("run/adapter").path]
    let other = try tiny.run(tuned + ["--task", "imdb", "--data-dir", tiny.data.path])
    #expect(other.exitCode == 2 && other.errors.contains("--task imdb: trained on task pair"), "\(other.errors)")
    let single = tiny.file("single.jsonl")
    try Data("{\"sentence1\":\"a\",\"label\":\"no\"}\n{\"sentence1\":\"b\",\"label\":\"yes\"}\n".utf8).write(to: single)
    let lacking = try tiny.run(tuned + ["--eval-file", single.path])
    #expect(lacking.exitCode == 1)
    lacking.expectOneError(containing: [single.path, "trained on the columns sentence1, sentence2, found sentence1"])
    let renamed = try tiny.run(tuned + ["--eval-file", file.path, "--label-names", "no,maybe,yes"])
    #expect(renamed.exitCode == 2 && renamed.errors.contains("was trained on maybe,no,yes"), "\(renamed.errors)")
    // The labels of the training count, not those that this file happens to have.
    let few = tiny.file("few.jsonl")
    try Data("{\"sentence1\":\"a\",\"sentence2\":\"b\",\"label\":\"yes\"}\n".utf8).write(to: few)
    let judged = try tiny.run(tuned + ["--eval-file", few.path])
    #expect(judged.exitCode == 0, "\(judged.errors)")
    // What no flag may be is no value of the file either.
    let settings = tiny.file("run/adapter/task_settings.json")
    let text = try String(contentsOf: settings, encoding: .utf8)
    try text.replacing("\"num_beams\": 1", with: "\"num_beams\": 16777217").write(
      to: settings, atomically: true, encoding: .utf8)
    let beams = try tiny.run(
      ["generate", "--model", tiny.model.path, "--adapter", tiny.file("run/adapter").path], input: "a\tb\n")
    #expect(beams.exitCode == 1)
    beams.expectOneError(containing: [
      "task_settings.json, key 'generation'", "--num-beams 16777217: expected 1 to 256",
    ])
  }

  /// A head that was trained with its labels in another order judges by their names.
  @Test func labelsOfATrainedHeadCountByName() throws {
    let family = try TinyFamily(FamilyTests.families[3])
    let tiny = family.tiny
    _ = try family.train("run")
    let adapter = tiny.file("run/adapter")
    func accuracy() throws -> Double {
      let run = try tiny.run(
        ["evaluate", "--task", "mrpc", "--data-dir", family.data.path, "--model", adapter.path, "--leaf-tokens", "64"]
          + family.lengths)
      #expect(run.exitCode == 0, "\(run.errors)")
      return try JSONObject(line: run.output).double("eval_accuracy")
    }
    try tiny.remove("run/adapter/task_settings.json")
    let right = try accuracy()
    // The same head under exchanged names answers the contrary.
    var config = try JSONObject(file: adapter.appending(path: "config.json")).members
    config["id2label"] = ["0": "equivalent", "1": "not_equivalent"]
    config["label2id"] = ["equivalent": 0, "not_equivalent": 1]
    try Data(JSON.object(config).encoded().utf8).write(to: adapter.appending(path: "config.json"))
    #expect(try abs(accuracy() - (1 - right)) < 1e-9)
    config["id2label"] = ["0": "good", "1": "bad"]
    config["label2id"] = ["good": 0, "bad": 1]
    try Data(JSON.object(config).encoded().utf8).write(to: adapter.appending(path: "config.json"))
    let other = try tiny.run(
      ["evaluate", "--task", "mrpc", "--data-dir", family.data.path, "--model", adapter.path] + family.lengths)
    #expect(other.exitCode == 1)
    other.expectOneError(containing: ["are good, bad, those of task mrpc not_equivalent, equivalent"])
  }
}
