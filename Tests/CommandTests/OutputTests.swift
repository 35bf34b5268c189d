import Checkpoints
import Foundation
import TestSupport
import Testing

@testable import peft_dist

/// What a run writes, and what it leaves alone.
@Suite struct OutputTests {
  /// The kernel aligns small numbers by spaces and leaves none before large ones.
  @Test func peakOfAnySize() {
    let text = "Name:\tpeft-dist\nVmHWM:\t12345678 kB\nVmRSS:\t    5424 kB\n"
    #expect(ProcessMemory.kilobytes(in: text, "VmHWM:") == 12_345_678)
    #expect(ProcessMemory.kilobytes(in: text, "VmRSS:") == 5424)
    #expect(ProcessMemory.kilobytes(in: text, "Pss:") == 0)
  }

  /// A link to nothing is neither a folder to write into nor absent data.
  @Test func brokenLinksAreNamed() throws {
    let tiny = try TinyRun()
    let links = FileManager.default
    try links.createSymbolicLink(atPath: tiny.file("run").path, withDestinationPath: "/nowhere/runs")
    let run = try tiny.run(tiny.training(to: "run"))
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("found a link to /nowhere/runs, which does not exist"), "\(run.errors)")
    try links.createDirectory(at: tiny.file("linked"), withIntermediateDirectories: true)
    try links.createSymbolicLink(atPath: tiny.file("linked/train.csv").path, withDestinationPath: "/nowhere/t.csv")
    let other = try tiny.run(tiny.training(to: "other", ["--data-dir", tiny.file("linked").path]))
    #expect(other.exitCode == 1)
    #expect(other.errors.contains("train.csv: it is a link to /nowhere/t.csv, which does not exist"), "\(other.errors)")
  }

  /// What is the work of one process is done and told once under mpirun.
  @Test func generateUnderMPIRunAnswersOnce() throws {
    let tiny = try TinyRun()
    let arguments = [
      "generate", "--model", tiny.model.path, "--max-new-tokens", "3", "--input", tiny.file("texts").path,
    ]
    try Data("good film\nbad film\n".utf8).write(to: tiny.file("texts"))
    let alone = try tiny.run(arguments)
    let shared = try tiny.run(arguments, ranks: 2)
    #expect(alone.exitCode == 0 && shared.exitCode == 0, "\(alone.errors) \(shared.errors)")
    #expect(shared.lines == alone.lines && alone.lines.count == 2)
    #expect(shared.errors.contains("generate runs in one process; of the 2 that mpirun started"), "\(shared.errors)")
  }

  @Test(arguments: ["full", "lora"])
  func nothingIsWrittenToModelAndData(method: String) throws {
    let tiny = try TinyRun()
    let (model, data) = (try FolderContent(tiny.model), try FolderContent(tiny.data))
    #expect(model.files.count == 4 && data.files.count == 2)
    let run = try tiny.run(tiny.training(to: "run", ["--method", method]), ranks: 2)
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(try FolderContent(tiny.model) == model)
    #expect(try FolderContent(tiny.data) == data)
    #expect(
      Set(try FileManager.default.contentsOfDirectory(atPath: tiny.folder.path)) == [
        "model", "data", "cache", "run",
      ])
  }

  @Test func outputHoldsWhatIsPromised() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(tiny.training(to: "run", ["--keep-checkpoints", "1"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    let names = Set(try FolderContent(tiny.file("run")).files.keys)
    let promised: Set = [
      "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "metrics.jsonl", "summary.json",
      "run.yaml",
      "checkpoints/step-000016/tensors.safetensors", "checkpoints/step-000016/manifest.json",
    ]
    #expect(names.isSuperset(of: promised), "\(names)")
    #expect(names.filter { $0.hasPrefix("checkpoints/") && !$0.contains("000016") }.isEmpty, "\(names)")
    let lines = try RunResults.lines(of: tiny.file("run/metrics.jsonl")).map { try JSONObject(line: $0) }
    let steps = lines.filter { $0["loss"] != nil }
    #expect(try steps.map { try $0.int("step") } == Array(1...16))
    for line in steps {
      for key in ["epoch", "loss", "learning_rate", "grad_norm", "loss_scale", "source_tokens_per_second"] {
        #expect(try line.double(key).isFinite, "\(key)")
      }
    }
    let evaluations = lines.filter { $0["eval_loss"] != nil }
    #expect(try evaluations.map { try $0.int("step") } == [8, 16])
    #expect(try evaluations.map { try $0.double("epoch") } == [1, 2])
    #expect(try evaluations.allSatisfy { (0...1).contains(try $0.double("eval_accuracy")) })
    #expect(
      run.output.contains("sha256  \(try sha256(of: tiny.file("run/adapter/adapter_model.safetensors")))"))
    let summary = try JSONObject(file: tiny.file("run/summary.json"))
    for key in ["adapter_sha256", "numeric_identity"] { #expect(try summary.string(key).isEmpty == false) }
    for key in ["ranks", "threads_per_rank"] { #expect(try summary.int(key) == 1) }
    #expect(try summary.double("wall_seconds") > 0)
  }

  @Test func runConfigurationIsReadBackAndFlagsWin() throws {
    let tiny = try TinyRun()
    let first = try tiny.run(
      tiny.training(
        to: "first", ["--method", "lora", "--target-modules", "q,wi", "--seed", "7", "--lowercase"]))
    #expect(first.exitCode == 0, "\(first.errors)")
    let config = tiny.file("first/run.yaml").path
    let again = try tiny.run(["train", "--config", config, "--output", tiny.file("again").path], ranks: 2)
    #expect(again.exitCode == 0, "\(again.errors)")
    #expect(try RunResults(tiny.file("first")) == RunResults(tiny.file("again")))
    #expect(try Self.settings(tiny.file("first")) == Self.settings(tiny.file("again")))

    let other = try tiny.run(
      ["train", "--seed", "8", "--config=\(config)", "--output", tiny.file("other").path])
    #expect(other.exitCode == 0, "\(other.errors)")
    #expect(try RunResults(tiny.file("other")).weights != RunResults(tiny.file("first")).weights)
    #expect(try Self.settings(tiny.file("other")).contains("seed: 8"))
    let typed = try tiny.run(
      tiny.training(
        to: "typed", ["--method", "lora", "--target-modules", "q,wi", "--seed", "8", "--lowercase"]))
    #expect(typed.exitCode == 0, "\(typed.errors)")
    #expect(try RunResults(tiny.file("other")).weights == RunResults(tiny.file("typed")).weights)
  }

  /// Adafactor without a learning rate finds its own, and does so again when read back.
  @Test func runConfigurationKeepsWhatWasNotGiven() throws {
    let tiny = try TinyRun()
    let first = try tiny.run(tiny.training(to: "first", ["--optimizer", "adafactor", "--steps", "4"]))
    #expect(first.exitCode == 0, "\(first.errors)")
    let again = try tiny.run(
      ["train", "--config", tiny.file("first/run.yaml").path, "--output", tiny.file("again").path])
    #expect(again.exitCode == 0, "\(again.errors)")
    #expect(try RunResults(tiny.file("first")) == RunResults(tiny.file("again")))
  }

  @Test(arguments: ["model", "data"])
  func runIsNotWrittenBesideModelOrData(folder: String) throws {
    let tiny = try TinyRun()
    let before = try FolderContent(tiny.file(folder))
    for more in [[], ["--resume"]] {
      let run = try tiny.run(tiny.training(to: folder, ["--steps", "1"] + more), ranks: 2)
      #expect(run.exitCode == 1)
      run.expectOneError(containing: [tiny.file(folder).path, "is not that of a training run", "--output"])
      #expect(try FolderContent(tiny.file(folder)) == before)
    }
  }

  private static func settings(_ output: URL) throws -> [String] {
    RunResults.lines(of: output.appending(path: "run.yaml"))
  }

  @Test func configurationSaysWhatTheCommandLineCan() throws {
    let tiny = try TinyRun()
    let config = tiny.file("flags.yaml")
    try Data(
      """
      method: lora
      target_modules: [q, v]
      lora-alpha-pattern: {SelfAttention.q: 4}
      lowercase: yes
      strip_html: false
      eval_file: null
      steps: 2
      prompt_init_text: ~
      """.utf8
    ).write(to: config)
    let run = try tiny.run(tiny.training(to: "run", ["--config", config.path]))
    #expect(run.exitCode == 0, "\(run.errors)")
    let settings = try Self.settings(tiny.file("run"))
    for line in [
      "target_modules: q,v", "lora_alpha_pattern: SelfAttention.q=4", "lowercase: true", "strip_html: false",
      "steps: 2",
    ] {
      #expect(settings.contains(line), "\(settings)")
    }
  }

  @Test(arguments: [
    ("learning_rat: 1", ["line 1", "'learning_rat' is not the name of a flag"]),
    ("seed: 1\nlowercas: false", ["line 2", "'lowercas'"]),
    ("lowercase: maybe", ["line 1", "lowercase", "true or false"]),
    ("- seed", ["name: value"]),
    ("seed: [1", ["2:1"]),
    ("seed: 1\nseed: 2", ["seed"]),
  ])
  func wrongConfigurationIsNamed(yaml: String, parts: [String]) throws {
    let tiny = try TinyRun()
    let config = tiny.file("flags.yaml")
    try Data(yaml.utf8).write(to: config)
    let run = try tiny.run(tiny.training(to: "run", ["--config", config.path]))
    #expect(run.exitCode == 1)
    run.expectOneError(containing: [config.path] + parts)
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run").path))
  }

  @Test func configurationOfWrongValuesIsAUsageError() throws {
    let tiny = try TinyRun()
    let config = tiny.file("flags.yaml")
    try Data("learning_rate: fast".utf8).write(to: config)
    let run = try tiny.run(tiny.training(to: "run", ["--config", config.path]))
    #expect(run.exitCode == 2)
    run.expectOneError(containing: ["'fast' is invalid for '--learning-rate", config.path])
    for missing in [tiny.file("nix.yaml").path, tiny.folder.path] {
      let run = try tiny.run(tiny.training(to: "run", ["--config", missing]))
      #expect(run.exitCode == 1)
      run.expectOneError(containing: ["cannot read configuration \(missing)"])
    }
  }
}
