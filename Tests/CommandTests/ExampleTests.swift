import Checkpoints
import Foundation
import TestSupport
import Testing
import Tokenization

/// What is in `examples/`: the reviews are those of the grammar, the models have learned something, and the example that
/// `launch.sh train` runs learns.
@Suite struct ExampleTests {
  private static let root = TinyRun.goldens.deletingLastPathComponent().deletingLastPathComponent()
  private static let examples = root.appending(path: "examples")

  private static func example(_ path: String) -> String { examples.appending(path: path).path }

  @Test func theReviewsAreThoseOfTheGrammar() throws {
    let tiny = try TinyRun()
    let made = tiny.file("reviews")
    let run = try tiny.run([
      "make-reviews", "--grammar", Self.example("reviews/grammar.txt"), "--output", made.path,
    ])
    #expect(run.exitCode == 0, "\(run.errors)")
    for name in ["train.jsonl", "validation.jsonl", "test.jsonl"] {
      let bundled = try Data(contentsOf: Self.examples.appending(path: "reviews/\(name)"))
      #expect(try Data(contentsOf: made.appending(path: name)) == bundled, "\(name)")
    }
    let again = try tiny.run(["make-reviews", "--grammar", Self.example("reviews/grammar.txt"), "--output", made.path])
    again.expectOneError(containing: [made.path, "an empty or a new folder"])
    let file = tiny.file("file")
    try Data().write(to: file)
    let taken = try tiny.run(["make-reviews", "--grammar", Self.example("reviews/grammar.txt"), "--output", file.path])
    taken.expectOneError(containing: [file.path, "an empty or a new folder", "a file"])
    let few = ["--train", "2", "--validation", "2", "--test", "2", "--output", "/proc/none"]
    let refused = try tiny.run(["make-reviews", "--grammar", Self.example("reviews/grammar.txt")] + few)
    refused.expectOneError(containing: ["cannot make folder /proc/none"])
  }

  /// The first steps of `launch.sh train` without arguments.
  @Test func theExampleLearns() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(
      [
        "train", "--config", Self.example("reviews/prompt-tuning.yaml"), "--model", Self.example("t5-tiny"),
        "--data-dir",
        Self.example("reviews"), "--steps", "60", "--eval-every", "60", "--eval-limit", "200", "--threads-per-rank",
        "2",
        "--output", tiny.file("run").path,
      ], timeoutSeconds: 300)
    #expect(run.exitCode == 0, "\(run.errors)")
    let accuracies = try RunResults.lines(of: tiny.file("run/metrics.jsonl")).compactMap { line in
      let object = try JSONObject(line: line)
      return object["eval_accuracy"] == nil ? nil : (try object.int("step"), try object.double("eval_accuracy"))
    }
    #expect(accuracies.map(\.0) == [0, 60])
    #expect(accuracies[0].1 < 0.1 && accuracies[1].1 > 0.9, "\(accuracies)")
    #expect(run.errors.contains("what to try next") && run.errors.contains("peft-dist generate --model "))
    // The commands it suggests work as they stand.
    let output = tiny.file("run").path
    #expect(run.errors.contains("peft-dist report \(output) --output \(output)-report\n"), "\(run.errors)")
    #expect(try tiny.run(["report", output, "--output", "\(output)-report"]).exitCode == 0)
    #expect(FileManager.default.fileExists(atPath: "\(output)-report/report.html"))
    let answers = try tiny.run(
      ["generate", "--model", Self.example("t5-tiny"), "--adapter", "\(output)/adapter"],
      input: "nobody could call the plot clever.\n")
    #expect(answers.exitCode == 0 && ["negative", "positive"].contains(answers.lines.first ?? ""), "\(answers.errors)")
  }

  @Test(arguments: ["gpt2-tiny", "roberta-tiny"]) func theTinyModelsHaveLearned(name: String) throws {
    let tiny = try TinyRun()
    let run = try tiny.run([
      "evaluate", "--model", Self.example(name), "--task", "corpus", "--eval-file",
      Self.example("reviews/validation.jsonl"),
      "--eval-limit", "200", "--max-source-length", "100", "--max-target-length", "16",
    ])
    #expect(run.exitCode == 0, "\(run.errors)")
    // Of 1,000 tokens, drawn blindly, e^6.9.
    #expect(try JSONObject(line: run.output).double("eval_loss") < 2)
  }

  /// A text ends for the model where it ends for the tokenizer, whose ids it learned from.
  @Test(arguments: ["t5-tiny", "gpt2-tiny", "roberta-tiny"]) func modelAndTokenizerEndTextsAlike(name: String) throws {
    let folder = Self.examples.appending(path: name)
    let config = try JSONObject(file: folder.appending(path: "config.json"))
    let tokenizer = try TokenizerCatalogue.load(folder: folder, modelType: config.string("model_type"))
    #expect(try config.int("eos_token_id") == Int(tokenizer.eosID))
    #expect(try config.optionalInt("pad_token_id") ?? Int(tokenizer.padID) == Int(tokenizer.padID))
    let generation = folder.appending(path: "generation_config.json")
    guard FileManager.default.fileExists(atPath: generation.path) else { return }
    #expect(try JSONObject(file: generation).int("eos_token_id") == Int(tokenizer.eosID))
  }

  /// `config.json` names the type that the weights were written in, as transformers loads them in that.
  @Test func theTypeOfTheWeightsIsNamed() throws {
    let tiny = try TinyRun()
    for (type, name) in [("fp32", "float32"), ("bf16", "bfloat16")] {
      let run = try tiny.run([
        "merge", "--model", Self.example("gpt2-tiny"), "--dtype", type, "--output", tiny.file(type).path,
      ])
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(try JSONObject(file: tiny.file("\(type)/config.json")).string("dtype") == name)
    }
  }

  @Test func launchWithoutArguments() throws {
    let tiny = try TinyRun()
    let program = tiny.file("program")
    try Data("#!/bin/sh\nprintf '%s\\n' \"$PEFT_DIST_LAUNCHER\" \"$@\"\n".utf8).write(to: program)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program.path)
    func launch(_ arguments: [String] = ["--threads", "1", "train"]) throws -> [String] {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/bash")
      process.arguments = [Self.root.appending(path: "launch.sh").path, "-n", "1"] + arguments
      process.currentDirectoryURL = tiny.folder
      process.environment = ProcessInfo.processInfo.environment.merging(["PEFT_DIST_PROGRAM": program.path]) { $1 }
      let pipe = Pipe()
      process.standardOutput = pipe
      process.standardError = FileHandle.nullDevice
      try process.run()
      let data = pipe.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
      return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
    }
    func expected(_ output: String) -> [String] {
      [
        Self.root.appending(path: "launch.sh").path, "train", "--config", Self.example("reviews/prompt-tuning.yaml"),
        "--model", Self.example("t5-tiny"), "--data-dir", Self.example("reviews"), "--output", output,
        "--threads-per-rank", "1",
      ]
    }
    #expect(try launch() == expected("runs/reviews"))
    try FileManager.default.createDirectory(at: tiny.file("runs/reviews"), withIntermediateDirectories: true)
    #expect(try launch() == expected("runs/reviews-2"))
    // Threads typed count before those of a configuration, and these before a share of the cores.
    let file = tiny.file("run.yaml").path
    try Data("threads_per_rank: 3\n".utf8).write(to: tiny.file("run.yaml"))
    #expect(try launch(["train", "--config", file]).suffix(2) == ["--config", file])
    #expect(try launch(["--threads", "2", "train", "--config", file]).suffix(2) == ["--threads-per-rank", "2"])
  }
}
