import Foundation
import TestSupport
import Testing

/// Labels with which a model that writes could not answer are refused at the start, by name.
@Suite struct LabelTests {
  @Test(arguments: [
    (
      ["good film", "bad film"], ["--max-target-length", "2"],
      ["the label 'bad film' takes", "--max-target-length is 2"]
    ),
    (["fine", "\u{4E0D}\u{597D}"], [], ["the label '\u{4E0D}\u{597D}' comes back as", "cannot write it"]),
  ])
  func labelsThatCannotBeWritten(names: [String], flags: [String], parts: [String]) throws {
    let tiny = try TinyRun()
    let rows = (0..<12).map { #"{"sentence1": "text \#($0)", "label": "\#(names[$0 % 2])"}"# }
    let file = tiny.file("rows.jsonl")
    try Data(rows.joined(separator: "\n").utf8).write(to: file)
    let common = ["--model", tiny.model.path, "--task", "pair", "--threads-per-rank", "1"] + flags
    let train = try tiny.run(["train", "--train-file", file.path, "--output", tiny.file("run").path] + common)
    #expect(train.exitCode == 1)
    train.expectOneError(containing: parts)
    let judged = try tiny.run(["evaluate", "--eval-file", file.path] + common)
    #expect(judged.exitCode == 1)
    judged.expectOneError(containing: parts)
  }
}
