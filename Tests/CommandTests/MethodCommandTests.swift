import Checkpoints
import Foundation
import TensorCore
import Testing

/// Methods from the command line: going on, merging, prompts from elsewhere, ensembles, several at once.
@Suite struct MethodCommandTests {
  private static let network = [
    "--method", "p-tuning", "--virtual-tokens", "4", "--encoder-hidden-size", "12", "--steps", "9", "--save-every", "1",
    "--eval-every", "2", "--learning-rate", "0.02",
  ]
  private static let pissa = [
    "--method", "lora", "--lora-init", "pissa", "--lora-r", "2", "--steps", "9", "--save-every", "1", "--eval-every",
    "2",
  ]

  /// What PEFT's file does not hold is there again after a resume, and so is the best state.
  @Test(arguments: [network, pissa]) func aNetworkIsTakenUpAgain(flags: [String]) throws {
    let tiny = try TinyRun()
    let whole = try tiny.run(tiny.training(to: "whole", flags))
    #expect(whole.exitCode == 0, "\(whole.errors)")
    let broken = try tiny.run(tiny.training(to: "run", flags), faults: "throw:0:6")
    #expect(broken.exitCode == 1)
    let resumed = try tiny.run(tiny.training(to: "run", flags + ["--resume"]), ranks: 2)
    #expect(resumed.exitCode == 0 && resumed.errors.contains("resuming after step"), "\(resumed.errors)")
    #expect(try RunResults(tiny.file("run")) == RunResults(tiny.file("whole")))
    let names = ["run", "whole"].map { tiny.file("\($0)/adapter/training_form.safetensors") }
    #expect(try sha256(of: names[0]) == sha256(of: names[1]))
  }

  @Test func trainingGoesOnFromAnAdapter() throws {
    let tiny = try TinyRun()
    let first = try tiny.run(tiny.training(to: "first", Self.network))
    #expect(first.exitCode == 0, "\(first.errors)")
    let adapter = tiny.file("first/adapter").path
    // At a rate of 0 nothing moves: the adapter comes out as it went in.
    let still = try tiny.run(
      tiny.training(
        to: "still", ["--method", "p-tuning", "--init-adapter", adapter, "--learning-rate", "0", "--steps", "1"]))
    #expect(still.exitCode == 0, "\(still.errors)")
    for name in ["adapter_model.safetensors", "training_form.safetensors", "adapter_config.json"] {
      #expect(
        try sha256(of: tiny.file("first/adapter/\(name)")) == sha256(of: tiny.file("still/adapter/\(name)")), "\(name)")
    }
    let moved = try tiny.run(
      tiny.training(to: "moved", ["--method", "p-tuning", "--init-adapter", adapter, "--steps", "1"]))
    #expect(moved.exitCode == 0, "\(moved.errors)")
    #expect(
      try sha256(of: tiny.file("moved/adapter/training_form.safetensors"))
        != sha256(of: tiny.file("first/adapter/training_form.safetensors")))
    let other = try tiny.run(tiny.training(to: "other", ["--method", "lora", "--init-adapter", adapter]))
    #expect(other.exitCode == 1)
    other.expectOneError(containing: ["--method is lora", "expected p-tuning"])
  }

  @Test func mergedAndTakenOutAgain() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(
      tiny.training(
        to: "run", ["--method", "lora", "--steps", "4", "--learning-rate", "0.05", "--target-modules", "q,k,wo"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    let adapter = tiny.file("run/adapter").path
    func merge(_ model: URL, to output: String, _ more: [String] = []) throws {
      let run = try tiny.run(
        ["merge", "--model", model.path, "--adapter", adapter, "--output", tiny.file(output).path] + more)
      #expect(run.exitCode == 0 && run.errors.contains("changed by lora"), "\(run.errors)")
    }
    try merge(tiny.model, to: "merged")
    try merge(tiny.file("merged"), to: "restored", ["--unmerge"])
    func logits(_ name: String, _ more: [String]) throws -> [Float] {
      let dump = tiny.file(name)
      let run = try tiny.run(tiny.evaluation(["--dump", dump.path] + more))
      #expect(run.exitCode == 0, "\(run.errors)")
      return try SafetensorsFile(dump).tensor("logits").values
    }
    let tuned = try logits("tuned.safetensors", ["--adapter", adapter])
    let merged = try logits("merged.safetensors", ["--model", tiny.file("merged").path])
    let base = try logits("base.safetensors", [])
    #expect(zip(tuned, merged).allSatisfy { abs($0 - $1) <= 1e-4 } && tuned.count == merged.count)
    #expect(zip(tuned, base).contains { abs($0 - $1) > 0.01 })
    let (first, second) = (
      try SafetensorsFile(tiny.file("model/model.safetensors")),
      try SafetensorsFile(tiny.file("restored/model.safetensors"))
    )
    #expect(first.names == second.names)
    for name in first.names {
      let (a, b) = (try first.tensor(name).values, try second.tensor(name).values)
      #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-6 }, "\(name)")
    }
    let full = try tiny.run([
      "merge", "--model", tiny.model.path, "--adapter", adapter, "--output", tiny.file("merged").path,
    ])
    #expect(full.exitCode == 1)
    full.expectOneError(containing: [tiny.file("merged").path, "an empty or a new folder"])
  }

  /// Without an adapter all tensors stay, those of heads that no task reads too, in the width asked for.
  @Test func storedInBfloat16() throws {
    let tiny = try TinyRun()
    let model = TinyRun.goldens.appending(path: "masked/roberta")
    let run = try tiny.run([
      "merge", "--model", model.path, "--dtype", "bf16", "--output", tiny.file("half").path,
    ])
    #expect(run.exitCode == 0, "\(run.errors)")
    let (first, second) = (
      try SafetensorsFile(model.appending(path: "model.safetensors")),
      try SafetensorsFile(tiny.file("half/model.safetensors"))
    )
    #expect(first.names == second.names && first.contains("lm_head.dense.weight"))
    for name in first.names {
      #expect(second.info(name)?.type == .bf16 && second.info(name)?.shape == first.info(name)?.shape)
      let (a, b) = (try first.tensor(name).values, try second.tensor(name).values)
      #expect(zip(a, b).allSatisfy { abs($0 - $1) <= abs($0) / 256 }, "\(name)")
    }
    #expect(try JSONObject(file: tiny.file("half/config.json")).string("dtype") == "bfloat16")
    let alone = try tiny.run([
      "merge", "--model", model.path, "--unmerge", "--output", tiny.file("none").path,
    ])
    #expect(alone.exitCode == 2 && alone.errors.contains("--unmerge needs the --adapter"))
  }

  @Test func aPromptCannotBeMerged() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(tiny.training(to: "run", ["--method", "prompt-tuning", "--steps", "1"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    let merged = try tiny.run([
      "merge", "--model", tiny.model.path, "--adapter", tiny.file("run/adapter").path, "--output", tiny.file("m").path,
    ])
    #expect(merged.exitCode == 1)
    merged.expectOneError(containing: ["prompt-tuning cannot be merged"])
  }

  @Test func aPromptFromElsewhere() throws {
    let tiny = try TinyRun()
    let first = try tiny.run(tiny.training(to: "first", Self.network))
    #expect(first.exitCode == 0, "\(first.errors)")
    let array = tiny.file("prompt.npy")
    let saved = try tiny.run(["convert-prompt", tiny.file("first/adapter").path, "--output", array.path])
    #expect(saved.exitCode == 0, "\(saved.errors)")
    let prompt = try #require(AdapterFolder.read(tiny.file("first/adapter")).tensors["prompt_embeddings"])
    #expect(try NumpyFile.read(array).hasSameBytes(as: prompt))
    let back = try tiny.run([
      "convert-prompt", array.path, "--model", tiny.model.path, "--output", tiny.file("again").path,
    ])
    #expect(back.exitCode == 0, "\(back.errors)")
    #expect(try AdapterFolder.read(tiny.file("again")).tensors["prompt_embeddings"]?.hasSameBytes(as: prompt) == true)
    let over = try tiny.run([
      "convert-prompt", array.path, "--model", tiny.model.path, "--output", tiny.file("again").path,
    ])
    #expect(over.exitCode == 1)
    over.expectOneError(containing: ["/again", "an empty or a new folder"])
    for source in [array.path, tiny.file("first/adapter").path, tiny.file("again").path] {
      let output = "from-\(source.count)"
      let run = try tiny.run(
        tiny.training(
          to: output,
          [
            "--method", "prompt-tuning", "--virtual-tokens", "3", "--prompt-init", "file", "--prompt-init-file", source,
            "--steps", "1", "--learning-rate", "0",
          ]))
      #expect(run.exitCode == 0, "\(run.errors)")
      let found = try AdapterFolder.read(tiny.file("\(output)/adapter")).tensors["prompt_embeddings"]
      #expect(found?.hasSameBytes(as: prompt.rows(0..<3)) == true, "\(source)")
    }
    let long = try tiny.run(
      tiny.training(
        to: "long",
        ["--virtual-tokens", "9", "--prompt-init", "file", "--prompt-init-file", array.path, "--steps", "1"]))
    #expect(long.exitCode == 1)
    long.expectOneError(containing: [array.path, "[4, 32]", "expected 9 rows"])
  }

  @Test func theMajorityAnswers() throws {
    let tiny = try TinyRun()
    var adapters: [String] = []
    for seed in ["1", "2", "3"] {
      let flags = ["--method", "lora", "--seed", seed, "--steps", "6", "--learning-rate", "0.05", "--eval-every", "0"]
      let run = try tiny.run(tiny.training(to: seed, flags))
      #expect(run.exitCode == 0, "\(run.errors)")
      adapters.append(tiny.file("\(seed)/adapter").path)
    }
    func answers(_ adapters: [String], ranks: Int? = nil) throws -> (answers: [String], report: JSONObject) {
      let file = tiny.file("answers.jsonl")
      let run = try tiny.run(
        tiny.evaluation(adapters.flatMap { ["--adapter", $0] } + ["--predictions", file.path]), ranks: ranks)
      #expect(run.exitCode == 0, "\(run.errors)")
      let lines = try RunResults.lines(of: file).map { try JSONObject(line: $0).string("prediction") }
      return (lines, try JSONObject(line: run.output))
    }
    let each = try adapters.map { try answers([$0]).answers }
    #expect(Set(each).count > 1, "adapters that agree everywhere show nothing")
    let (voted, report) = try answers(adapters)
    for (index, answer) in voted.enumerated() {
      let votes = each.map { $0[index] }
      let most = Dictionary(grouping: votes) { $0 }.mapValues(\.count).values.max() ?? 0
      let expected = try #require(votes.first { vote in votes.count { $0 == vote } == most })
      #expect(answer == expected, "\(votes)")
    }
    #expect(try report.array("members").count == 3 && report.int("examples") == TinyRun.testCount)
    #expect(try answers(adapters, ranks: 2).answers == voted)
  }

  @Test func severalAtOnceAreInspectedEachByItself() throws {
    let tiny = try TinyRun()
    let flags = [
      "--method", "prompt-tuning+lora", "--learning-rate-of", "lora=0.01", "--virtual-tokens", "3", "--steps", "2",
    ]
    let run = try tiny.run(tiny.training(to: "run", flags))
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.errors.contains("learning rate 0.3 (prompt-tuning), 0.01 (lora)"), "\(run.errors)")
    let shown = try tiny.run(["inspect", tiny.file("run/adapter").path])
    for part in ["method lora;", "method prompt-tuning;", "prompt_embeddings [3, 32] x 1: 96"] {
      #expect(shown.output.contains(part), "\(shown.output)")
    }
    let judged = try tiny.run(tiny.evaluation(["--adapter", tiny.file("run/adapter").path]))
    #expect(judged.exitCode == 0, "\(judged.errors)")
    for (flags, words) in [
      (["--method", "lora+"], "--method lora+"), (["--method", "lora", "--learning-rate-of", "ia3=1"], "ia3"),
      (["--method", "lora", "--lora-init", "svd"], "--lora-init svd"), (["--preset", "nix"], "--preset nix"),
      (["--method", "lora", "--layers-to-transform", "3-1"], "--layers-to-transform"),
      (["--method", "lora", "--target-modules", "all-linear", "--layers-to-transform", "0"], "is with all-linear"),
      (
        ["--method", "ia3", "--target-modules", ".*wo", "--feedforward-modules", "("],
        "--feedforward-modules is '('; expected a valid regular expression"
      ),
      (
        ["--method", "p-tuning-template", "--prompt-template", "[P3] {sentence1} [P2] {sentence2}"],
        "task imdb has no pairs"
      ),
      (
        ["--method", "p-tuning-template", "--prompt-template", "[P\(Int.max)] {text} [P1]"],
        "--prompt-template is '[P\(Int.max)]"
      ),
    ] {
      let refused = try tiny.run(tiny.training(to: "refused", flags))
      #expect(refused.exitCode != 0 && refused.errors.contains(words), "\(refused.errors)")
    }
  }

  @Test func aPresetStandsForItsFlags() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(tiny.training(to: "run", ["--preset", "lester", "--steps", "1"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    let yaml = try String(contentsOf: tiny.file("run/run.yaml"), encoding: .utf8)
    for line in [
      "virtual_tokens: 100", "optimizer: adafactor", "learning_rate: 0.3", "schedule: constant", "steps: 1",
      "prompt_init: class-labels", "max_grad_norm: 0", "global_batch_size: 7",
    ] { #expect(yaml.contains(line), "\(line) in \(yaml)") }
  }
}
