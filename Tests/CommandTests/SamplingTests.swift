import Checkpoints
import Foundation
import TestSupport
import Testing

/// Sampling and stop strings of `generate` and `evaluate`: the same text whatever the layout.
@Suite struct SamplingTests {
  private let texts = (0..<40).map { "the film \($0) was great and the plot \($0 * $0) not" }

  private func generate(_ tiny: TinyRun, _ threads: Int, _ lines: [String], _ more: [String]) throws -> [String] {
    let run = try tiny.run(
      ["generate", "--model", tiny.model.path, "--max-new-tokens", "8", "--threads-per-rank", "\(threads)"] + more,
      input: lines.joined(separator: "\n"))
    #expect(run.exitCode == 0, "\(run.errors)")
    return run.lines
  }

  @Test func samplesDoNotDependOnThreadsAndCompany() throws {
    let tiny = try TinyRun()
    let flags = ["--do-sample", "--temperature", "0.8", "--top-p", "0.95", "--top-k", "0", "--seed", "5"]
    let one = try generate(tiny, 1, texts, flags)
    #expect(one.count == 40 && Set(one).count > 30)
    #expect(try generate(tiny, 3, texts, flags) == one)
    #expect(try generate(tiny, 2, Array(texts.prefix(9)), flags) == Array(one.prefix(9)))
    #expect(try generate(tiny, 1, texts, flags.dropLast() + ["6"]) != one)
    let three = try generate(tiny, 3, texts, flags + ["--num-return-sequences", "3"])
    #expect(three.count == 120 && (0..<40).allSatisfy { three[3 * $0] == one[$0] })
    #expect((0..<40).contains { three[3 * $0] != three[3 * $0 + 1] })
    // From the best token alone sampling is greedy decoding.
    #expect(try generate(tiny, 1, texts, ["--do-sample", "--top-k", "1"]) == generate(tiny, 1, texts, []))
  }

  @Test func evaluationSamplesAlikeOnAnyLayout() throws {
    let tiny = try TinyRun()
    func evaluate(_ ranks: Int?, _ seed: String) throws -> [String] {
      let predictions = tiny.file("predictions.jsonl")
      let run = try tiny.run(
        tiny.evaluation([
          "--predictions", predictions.path, "--max-target-length", "6", "--do-sample", "--seed", seed,
        ]), ranks: ranks)
      #expect(run.exitCode == 0, "\(run.errors)")
      return try RunResults.lines(of: predictions)
    }
    let alone = try evaluate(nil, "3")
    #expect(try evaluate(3, "3") == alone)
    #expect(try evaluate(nil, "4") != alone)
  }

  /// An answer ends before the stop string; up to there it is the answer without one.
  @Test(arguments: [[], ["--num-beams", "2"], ["--do-sample", "--seed", "2"]])
  func stopStringsCutAnswers(flags: [String]) throws {
    let tiny = try TinyRun()
    let whole = try generate(tiny, 1, texts, flags)
    let letter = try #require("eaisrn".first { letter in whole.count { $0.contains(letter) } > 20 })
    let cut = try generate(tiny, 2, texts, flags + ["--stop", "\(letter)", "--stop", "never to be seen"])
    #expect(cut.count == 40 && !cut.contains { $0.contains(letter) })
    guard !flags.contains("--num-beams") else { return }
    for (cut, whole) in zip(cut, whole) { #expect(cut == String(whole.prefix { $0 != letter })) }
  }

  @Test func answersGoToAFile() throws {
    let tiny = try TinyRun()
    let file = tiny.file("answers.jsonl")
    let flags = ["--num-beams", "2", "--num-return-sequences", "2"]
    let printed = try generate(tiny, 1, texts, flags)
    #expect(try generate(tiny, 2, texts, flags + ["--output", file.path]).isEmpty)
    let rows = try RunResults.lines(of: file).map { try JSONObject(line: $0) }
    #expect(try rows.map { try $0.int("line") } == Array(1...40))
    #expect(try rows.map { try $0.string("source") } == texts)
    #expect(try rows.flatMap { try $0.strings("predictions") } == printed)
    for row in rows {
      let scores = try row.array("scores").map { try #require(Double($0.encoded(.compact))) }
      #expect(scores.count == 2 && scores[0] >= scores[1] && scores[0] < 0)
    }
    _ = try generate(tiny, 1, ["a"], ["--output", file.path])
    #expect(try JSONObject(line: String(contentsOf: file, encoding: .utf8))["scores"] == .null)
    let refused = try tiny.run(["generate", "--model", tiny.model.path, "--output", tiny.folder.path], input: "a")
    #expect(refused.exitCode == 1)
    refused.expectOneError(containing: [tiny.folder.path, "a folder"])
  }
}
