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
