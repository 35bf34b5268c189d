import Foundation
import TestSupport
import Testing

/// What the limits of length take is said by every command, and a limit that is too large is named.
@Suite struct LengthLimitTests {
  @Test func cutTargetsAndSourcesAreCounted() throws {
    let tiny = try TinyRun()
    let rows = (0..<8).map {
      "{\"article\": \"a film \($0)\", \"highlights\": \"\(String(repeating: "good ", count: 40 * ($0 % 2) + 1))\"}\n"
    }
    for part in ["train", "validation", "test"] {
      try Data(rows.joined().utf8).write(to: tiny.file("data/\(part).jsonl"))
    }
    let shared = [
      "--model", tiny.model.path, "--task", "cnn_dailymail", "--data-dir", tiny.data.path, "--max-source-length", "8",
      "--max-target-length", "10", "--threads-per-rank", "1",
    ]
    let training = try tiny.run(
      ["train", "--steps", "1", "--global-batch-size", "2", "--eval-every", "0", "--output", tiny.file("run").path]
        + shared)
    #expect(training.exitCode == 0, "\(training.errors)")
    #expect(training.errors.contains("longest 10; 4 cut (50.0 %)"), "\(training.errors)")
    let judging = try tiny.run(["evaluate", "--adapter", tiny.file("run/adapter").path] + shared)
    #expect(judging.exitCode == 0, "\(judging.errors)")
    #expect(judging.errors.contains("4 of 8 targets are cut (--max-target-length)"), "\(judging.errors)")
    let answers = try tiny.run(
      ["generate", "--raw", "--model", tiny.model.path, "--max-source-length", "4", "--max-new-tokens", "1"],
      input: "a film\na film of many many words\n")
    #expect(answers.exitCode == 0, "\(answers.errors)")
    #expect(answers.errors.contains("1 of 2 texts cut to 4 tokens (--max-source-length)"), "\(answers.errors)")
  }

  @Test func theOptionThatIsTooLargeIsNamed() throws {
    let tiny = try TinyRun()
    let (tokenizer, model) = (TinyRun.goldens.appending(path: "tokenizers/gpt2"), tiny.file("gpt2").path)
    let vocabulary = try Data(contentsOf: tokenizer.appending(path: "vocab.json"))
    let size = try (JSONSerialization.jsonObject(with: vocabulary) as? [String: Int])?.count ?? 0
    let made = try tiny.run([
      "init-model", "--family", "gpt2", "--vocab-size", "\(size + 1)", "--hidden-size", "8", "--layers", "1", "--heads",
      "1",
      "--max-positions", "160", "--tokenizer", tokenizer.path, "--output", model,
    ])
    #expect(made.exitCode == 0, "\(made.errors)")
    let generate = ["generate", "--model", model]
    for (flags, parts) in [
      (["--max-new-tokens", "300"], ["--max-new-tokens 300", "160 positions", "at most 158"]),
      (
        ["--max-new-tokens", "100", "--max-source-length", "100"],
        ["--max-source-length 100", "targets 100", "at most 60"]
      ),
    ] {
      let run = try tiny.run(generate + flags, input: "a\n")
      #expect(run.exitCode == 1)
      run.expectOneError(containing: parts)
    }
    let training = try tiny.run([
      "train", "--model", model, "--task", "imdb", "--data-dir", tiny.data.path, "--virtual-tokens", "158", "--output",
      tiny.file("run").path,
    ])
    #expect(training.exitCode == 1)
    training.expectOneError(containing: ["--virtual-tokens 158", "160 positions", "at most 157"])
  }
}
