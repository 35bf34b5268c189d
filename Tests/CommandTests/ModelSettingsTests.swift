import Checkpoints
import Foundation
import TestSupport
import Testing

/// What a model's own files say and a command honours, or says that it does not.
@Suite struct ModelSettingsTests {
  @Test func generationSettingsOfTheModelCount() throws {
    let tiny = try TinyRun()
    func generate(_ more: [String] = []) throws -> MPIRun {
      let run = try tiny.run(
        ["generate", "--model", tiny.model.path, "--output", tiny.file("answers").path] + more,
        input: "a film\nthe plot\n")
      #expect(run.exitCode == 0, "\(run.errors)")
      return run
    }
    func answers() throws -> [[JSON]] {
      try RunResults.lines(of: tiny.file("answers")).map { try JSONObject(line: String($0)).array("predictions") }
    }
    let plainRun = try generate(["--max-new-tokens", "6"])
    #expect(!plainRun.errors.contains("answers follow"))
    let plain = try answers()
    let settings: JSON = [
      "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0, "num_beams": 3, "num_return_sequences": 2,
      "forced_bos_token_id": 9, "max_length": 7, "typical_p": 0.4, "temperature": 0.5,
    ]
    try Data(settings.encoded().utf8).write(to: tiny.file("model/generation_config.json"))
    let run = try generate()
    #expect(
      run.errors.contains("num_beams 3, forced_bos_token_id 9; flags win")
        && run.errors.contains("max_length 7; flags win"), "\(run.errors)")
    #expect(run.errors.contains("generation_config.json: typical_p 0.4 is not supported and left out"))
    let found = try answers()
    #expect(found.count == 2 && found.allSatisfy { $0.count == 2 })
    // With every setting put back by a flag the answers are those of the model alone.
    _ = try generate([
      "--num-beams", "1", "--num-return-sequences", "1", "--forced-bos-token-id", "none", "--max-new-tokens", "6",
    ])
    #expect(try answers() == plain && plain != found)
    try Data(#"{"suppress_tokens": [99999]}"#.utf8).write(to: tiny.file("model/generation_config.json"))
    let refused = try tiny.run(["generate", "--model", tiny.model.path], input: "a\n")
    #expect(refused.exitCode == 2)
    refused.expectOneError(containing: ["--suppress-tokens 99999: the model has the ids 0 to "])
  }

  /// A classifier for three labels is tuned on two with a new head; its adapter is used on the base as it is.
  @Test func aHeadOfAnotherSize() throws {
    let tiny = try TinyFamily(FamilyTests.families[2])
    let model = tiny.tiny.file("three").path
    let made = try tiny.tiny.run([
      "init-model", "--family", "roberta", "--vocab-size", "1024", "--hidden-size", "16", "--layers", "1", "--heads",
      "2", "--num-labels", "3", "--tokenizer", tiny.model.path, "--output", model,
    ])
    #expect(made.exitCode == 0, "\(made.errors)")
    let common = ["--model", model, "--task", "mrpc", "--data-dir", tiny.data.path, "--threads-per-rank", "1"]
    let train = ["train", "--method", "lora", "--steps", "2", "--output", tiny.tiny.file("run").path] + common
    let refused = try tiny.tiny.run(train)
    #expect(refused.exitCode == 1)
    refused.expectOneError(containing: ["three is for 3 labels", "the task has 2", "--ignore-mismatched-head"])
    let run = try tiny.tiny.run(train + ["--ignore-mismatched-head"])
    #expect(run.exitCode == 0 && run.errors.contains("for 3 labels gives way to a new one for 2"), "\(run.errors)")
    let evaluated = try tiny.tiny.run(["evaluate", "--adapter", tiny.tiny.file("run/adapter").path] + common)
    #expect(evaluated.exitCode == 0, "\(evaluated.errors)")
    let summary = try JSONObject(file: tiny.tiny.file("run/summary.json"))
    #expect(try JSONObject(line: evaluated.output).double("eval_accuracy") == summary.double("test_accuracy"))
  }
}
