import Foundation
import TestSupport
import Testing

/// Files that are none and options out of all bounds: one error each, in bounded time and memory.
@Suite struct HostileInputTests {
  struct Case: CustomTestStringConvertible, Sendable {
    let name: String
    var flags: [String] = []
    let parts: [String]
    var spoil: @Sendable (TinyRun) throws -> Void = { _ in }
    var testDescription: String { name }
  }

  private static func special(
    _ name: String, _ path: String, _ parts: [String], make: @escaping @Sendable (String) -> Void
  ) -> Case {
    Case(name: name, parts: parts) { tiny in
      let place = tiny.file(path).path
      unlink(place)
      make(place)
    }
  }

  static let cases: [Case] = [
    special("vocabulary: pipe", "model/spiece.model", ["spiece.model", "a pipe"]) { mkfifo($0, 0o600) },
    special("vocabulary: device", "model/spiece.model", ["spiece.model", "a device"]) { symlink("/dev/zero", $0) },
    special("vocabulary: terabytes", "model/spiece.model", ["spiece.model", "1099511627776 bytes"]) {
      let descriptor = open($0, O_CREAT | O_WRONLY, 0o600)
      if ftruncate(descriptor, 1 << 40) != 0 { Issue.record("no file with holes here") }
      close(descriptor)
    },
    special("tokenizer settings: folder", "model/tokenizer_config.json", ["tokenizer_config.json", "a folder"]) {
      mkdir($0, 0o700)
    },
    special("weights: device", "model/model.safetensors", ["model.safetensors", "a device"]) {
      symlink("/dev/zero", $0)
    },
    special("data: pipe", "data/train.jsonl", ["train.jsonl", "a pipe", "write it to a file"]) { mkfifo($0, 0o600) },
    special("data: device", "data/train.jsonl", ["train.jsonl", "a device"]) { symlink("/dev/zero", $0) },
    .init(name: "configuration: device", flags: ["--config", "/dev/zero"], parts: ["/dev/zero", "a device"]),
    .init(
      name: "expression that goes back and forth",
      flags: ["--method", "lora", "--target-modules", "(.*)*(.*)*(.*)*q$z"],
      parts: ["--target-modules", "goes back and forth for ever"]),
    .init(
      name: "expression of brackets",
      flags: ["--method", "lora", "--target-modules", String(repeating: "[", count: 4001)],
      parts: ["--target-modules", "a valid regular expression"]),
    .init(
      name: "rank pattern", flags: ["--method", "lora", "--lora-rank-pattern", "(.*)*(.*)*(.*)*z=4"],
      parts: ["--lora-rank-pattern", "goes back and forth for ever"]),
    .init(
      name: "bottleneck", flags: ["--method", "adapter", "--reduction-factor", "1e-300"],
      parts: ["--reduction-factor", "1e-300"]),
    .init(
      name: "update out of all bounds",
      flags: [
        "--method", "lora", "--learning-rate", "1e38", "--weight-decay", "1e10", "--optimizer", "adamw", "--steps", "1",
      ],
      parts: ["step 1", "1e+38", "nothing of it is saved", "--learning-rate"]),
  ]

  @Test(arguments: cases) func isOneErrorAtOnce(_ hostile: Case) throws {
    let tiny = try TinyRun()
    try hostile.spoil(tiny)
    let run = try tiny.run(tiny.training(to: "run", hostile.flags), timeoutSeconds: 30)
    #expect(run.exitCode == 1, "\(run.errors)")
    run.expectOneError(containing: hostile.parts)
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run/adapter").path))
    #expect(run.errors.utf8.count < 10_000)
  }

  /// Files that somebody writes into while they are mapped.
  @Test func aModelThatIsWrittenToDuringTheRunGivesNoAdapter() throws {
    let tiny = try TinyRun()
    let weights = tiny.file("model/model.safetensors")
    let size = try Data(contentsOf: weights).count
    func run(_ output: String, _ spoil: (FileHandle) throws -> Void) throws -> MPIRun {
      let program = try tiny.start(
        tiny.training(to: output, ["--save-every", "1", "--leaf-tokens", "4096"]), faults: "slow:0:3")
      let deadline = Date(timeIntervalSinceNow: 30)
      while !FileManager.default.fileExists(atPath: tiny.file("\(output)/checkpoints/step-000002").path),
        Date() < deadline
      {
        usleep(1000)
      }
      let file = try FileHandle(forUpdating: weights)
      try spoil(file)
      try file.close()
      return program.outcome(timeoutSeconds: 50)
    }
    // Another file under the same name is none of this run's, which has the old one.
    let good = try Data(contentsOf: weights)
    let replaced = try run("replaced") { _ in
      try Data(good.reversed()).write(to: tiny.file("other"))
      rename(tiny.file("other").path, weights.path)
    }
    #expect(replaced.exitCode == 0, "\(replaced.errors)")
    try good.write(to: weights)
    let written = try run("written") { file in
      try file.seek(toOffset: UInt64(size - 8))
      try file.write(contentsOf: Data([1, 2, 3, 4]))
    }
    #expect(written.exitCode == 1)
    written.expectOneError(containing: [tiny.model.path, "were written to during the run", "no adapter is saved"])
    #expect(!FileManager.default.fileExists(atPath: tiny.file("written/adapter").path))
    let shortened = try run("shortened") { file in try file.truncate(atOffset: 4096) }
    #expect(shortened.exitCode == 1, "\(shortened.errors)")
    shortened.expectOneError(containing: [weights.path, "has become shorter"])
    #expect(!FileManager.default.fileExists(atPath: tiny.file("shortened/adapter").path))
  }

  @Test func aPipeOfACommandIsReadToItsEnd() throws {
    let tiny = try TinyRun()
    let pipe = tiny.file("settings").path
    mkfifo(pipe, 0o600)
    // Opening waits for the reader.
    let writer = Thread { try? Data("learning_rate: 0.25\nsteps: 1\n".utf8).write(to: URL(fileURLWithPath: pipe)) }
    writer.start()
    let run = try tiny.run(tiny.training(to: "run", ["--config", pipe]))
    #expect(run.exitCode == 0, "\(run.errors)")
    let settings = try String(contentsOf: tiny.file("run/run.yaml"), encoding: .utf8)
    #expect(settings.contains("learning_rate: 0.25"))
  }

  @Test func oneSettingInTwoSpellingsIsRefused() throws {
    let tiny = try TinyRun()
    let file = tiny.file("settings.yaml")
    try Data("learning_rate: 0.1\nlearning-rate: 0.2\n".utf8).write(to: file)
    let run = try tiny.run(tiny.training(to: "run", ["--config", file.path]))
    #expect(run.exitCode == 1)
    run.expectOneError(containing: ["line 2: 'learning-rate' is there already, as 'learning_rate'"])
  }

  @Test func aFreshModelOfAbsurdSizeIsRefused() throws {
    let tiny = try TinyRun()
    let base = ["init-model", "--family", "t5", "--vocab-size", "64", "--heads", "1", "--output", tiny.file("m").path]
    let layers = try tiny.run(base + ["--hidden-size", "8", "--layers", "4194304"])
    #expect(layers.exitCode == 2)
    #expect(layers.errors.contains("--layers 4194304: expected 1 to 1024"), "\(layers.errors)")
    let size = try tiny.run(base + ["--hidden-size", "4194304", "--layers", "1"])
    #expect(size.exitCode == 2)
    #expect(size.errors.contains("of weights; the file system of"), "\(size.errors)")
    #expect(!FileManager.default.fileExists(atPath: tiny.file("m/config.json").path))
  }

  @Test func aReportShowsRunsWhoseNumbersNoAxisHolds() throws {
    let tiny = try TinyRun()
    let folder = tiny.file("run")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let lines = [
      #"{"step": 1, "epoch": 1, "eval_loss": 1e308, "eval_accuracy": 0.5, "eval_examples": 4, "training_seconds": 1e300}"#,
      #"{"step": 9223372036854775807, "epoch": 2, "eval_loss": -1e308, "eval_accuracy": 0.5, "eval_examples": 4}"#,
      #"{"step": 3, "epoch": 1e18, "eval_loss": 1000000000000000000, "eval_accuracy": 0.5, "eval_examples": 4}"#,
      #"{"step": 4, "epoch": 3, "eval_loss": 1000000000000000128, "eval_accuracy": 0.7, "eval_examples": 4}"#,
    ]
    try Data(lines.joined(separator: "\n").utf8).write(to: folder.appending(path: "metrics.jsonl"))
    let run = try tiny.run(["report", folder.path, "--output", tiny.file("page").path], timeoutSeconds: 20)
    #expect(run.exitCode == 0, "\(run.errors)")
    let pages = try FileManager.default.contentsOfDirectory(atPath: tiny.file("page").path).filter {
      $0.hasSuffix(".html")
    }
    let page = try String(contentsOf: tiny.file("page/\(try #require(pages.first))"), encoding: .utf8)
    #expect(page.contains("2 not drawn (not finite, or too large)"))
    #expect(!page.contains("nan") && !page.contains(">inf<"))
  }
}
