import Checkpoints
import Foundation
import TestSupport
import Testing

/// A tokenizer and a model made from nothing, and an answer of the two.
@Suite struct FromScratchTests {
  @Test func fromTextToAnswers() throws {
    let tiny = try TinyRun()
    let (tokenizer, model) = (tiny.file("tokenizer"), tiny.file("fresh"))
    let texts = tiny.data.appending(path: "train.jsonl").path
    func train(_ output: URL) throws -> MPIRun {
      try tiny.run(["train-tokenizer", "--input", texts, "--vocab-size", "70", "--output", output.path])
    }
    let trained = try train(tokenizer)
    #expect(trained.exitCode == 0, "\(trained.errors)")
    #expect(trained.output.contains("ids       170"), "\(trained.output)")
    #expect(trained.lines.count == 3 && !trained.errors.contains("LOG("), "\(trained.errors)")
    let again = try train(tiny.file("again"))
    #expect(again.lines.last == trained.lines.last)

    let made = try tiny.run([
      "init-model", "--family", "t5", "--vocab-size", "176", "--hidden-size", "16", "--layers", "1", "--heads", "2",
      "--tokenizer", tokenizer.path, "--output", model.path,
    ])
    #expect(made.exitCode == 0, "\(made.errors)")
    let answers = try tiny.run(["generate", "--model", model.path, "--max-new-tokens", "4"], input: "a film\nb\n")
    #expect(answers.exitCode == 0 && answers.lines.count == 2, "\(answers.errors)")
    let occupied = try train(tokenizer)
    #expect(occupied.exitCode == 1)
    occupied.expectOneError(containing: [tokenizer.path, "an empty or a new folder"])
  }

  /// Byte-level vocabularies with their special tokens, which the models of their families read.
  @Test(arguments: ["gpt2", "roberta"]) func byteLevelVocabularies(family: String) throws {
    let tiny = try TinyRun()
    let (tokenizer, model) = (tiny.file("tokenizer").path, tiny.file("fresh").path)
    let file = tiny.file("rows.jsonl")
    // Of several columns a row may lack some, but not all.
    let rows = [
      #"{"text": "the film, the films and the plots of them"}"#, #"{"source": "the films", "target": "the"}"#,
    ]
    try Data((rows.joined(separator: "\n") + "\n").utf8).write(to: file)
    let flags = ["--family", family, "--column", "text", "--column", "source", "--column", "target"]
    let trained = try tiny.run(
      ["train-tokenizer", "--input", file.path, "--vocab-size", "266", "--output", tokenizer] + flags)
    #expect(trained.exitCode == 0 && trained.output.contains("ids       266"), "\(trained.errors)")
    let vocabulary = try JSONObject(file: tiny.file("tokenizer/vocab.json"))
    #expect(try family == "gpt2" || vocabulary.int("<pad>") == 1 && vocabulary.int("<mask>") == 265)
    #expect(try vocabulary.int("the") > 255)
    let made = try tiny.run([
      "init-model", "--family", family, "--vocab-size", "266", "--hidden-size", "16", "--layers", "1", "--heads", "2",
      "--tokenizer", tokenizer, "--output", model,
    ])
    #expect(made.exitCode == 0, "\(made.errors)")
    let end = try vocabulary.int(family == "gpt2" ? "<|endoftext|>" : "</s>")
    #expect(try JSONObject(file: tiny.file("fresh/config.json")).int("eos_token_id") == end)
    // A tokenizer that does not fit leaves nothing behind.
    for (size, other, words) in [("200", tokenizer, "has 266 ids"), ("266", "/nowhere", "/nowhere")] {
      let refused = try tiny.run([
        "init-model", "--family", family, "--vocab-size", size, "--hidden-size", "16", "--layers", "1", "--heads", "2",
        "--tokenizer", other, "--output", tiny.file("unfit").path,
      ])
      #expect(refused.exitCode == 1)
      refused.expectOneError(containing: [words])
      #expect(!FileManager.default.fileExists(atPath: tiny.file("unfit").path))
    }
    let judged = try tiny.run([
      "evaluate", "--model", model, "--task", "corpus", "--eval-file", tiny.data.appending(path: "train.jsonl").path,
    ])
    #expect(judged.exitCode == 0, "\(judged.errors)")
    try Data("{\"text\": \"a\"}\n{\"review\": \"b\"}\n".utf8).write(to: file)
    let refused = try tiny.run(
      ["train-tokenizer", "--input", file.path, "--vocab-size", "300", "--output", tiny.file("no").path] + flags)
    #expect(refused.exitCode == 1)
    refused.expectOneError(containing: ["rows.jsonl:2", "\"text\" or \"source\" or \"target\""])
  }

  @Test func textsThatCannotBeUsed() throws {
    let tiny = try TinyRun()
    let output = tiny.file("tokenizer").path
    func refused(_ flags: [String], _ parts: [String]) throws {
      let run = try tiny.run(["train-tokenizer", "--vocab-size", "70", "--output", output] + flags)
      #expect(run.exitCode == 1, "\(run.errors)")
      run.expectOneError(containing: parts)
      #expect(!FileManager.default.fileExists(atPath: output))
    }
    let texts = tiny.data.appending(path: "train.jsonl").path
    try refused(["--input", texts, "--column", "review"], ["train.jsonl:1", "\"review\""])
    try refused(["--input", texts, "--column", "label"], ["train.jsonl:1", "\"label\" is not text"])
    try refused(["--input", tiny.file("none.txt").path], ["none.txt", "does not exist"])
    let file = tiny.file("bytes.txt")
    try Data([0x61, 0x0A, 0xFF, 0x0A]).write(to: file)
    try refused(["--input", file.path], ["bytes.txt:2", "not valid UTF-8"])
  }
}
