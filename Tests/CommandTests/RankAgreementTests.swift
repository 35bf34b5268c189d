import Checkpoints
import Foundation
import TestSupport
import Testing

/// Ranks whose hosts have other files, or that were started with other options, end at the start.
///
/// Another command, with paths of its own, stands for another host.
@Suite struct RankAgreementTests {
  private func run(_ tiny: TinyRun, _ first: [String], _ second: [String]) throws -> MPIRun {
    try MPIRun(
      "peft-dist", ranks: 2, flags: ["--bind-to", "none"], arguments: first,
      environment: ["XDG_CACHE_HOME": tiny.cache.path], ofRank1: (second, [:]))
  }

  @Test func otherDataIsNamed() throws {
    let tiny = try TinyRun()
    try FileManager.default.copyItem(at: tiny.data, to: tiny.file("stale"))
    try tiny.replace("film", by: "flim", in: "stale/train.jsonl")
    let more = ["--steps", "2"]
    let run = try run(
      tiny, tiny.training(to: "run", more), tiny.training(to: "run", more + ["--data-dir", tiny.file("stale").path]))
    #expect(run.exitCode == 1)
    run.expectOneError(containing: [
      "differ in the data", "rank 0 on ", tiny.file("data/train.jsonl").path,
      try sha256(of: tiny.file("data/train.jsonl")), "rank 1 on ", tiny.file("stale/train.jsonl").path,
      try sha256(of: tiny.file("stale/train.jsonl")),
    ])
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run/adapter").path))
  }

  @Test func otherWeightsAreNamed() throws {
    let tiny = try TinyRun()
    try FileManager.default.copyItem(at: tiny.model, to: tiny.file("stale"))
    try tiny.edit("stale/model.safetensors") { $0[$0.count - 2] ^= 1 }
    let run = try run(
      tiny, tiny.training(to: "run"), tiny.training(to: "run", ["--model", tiny.file("stale").path]))
    #expect(run.exitCode == 1)
    run.expectOneError(containing: ["differ in the base model", "rank 0 on ", "rank 1 on ", tiny.file("stale").path])
  }

  @Test func otherOptionsAreNamed() throws {
    let tiny = try TinyRun()
    let run = try run(
      tiny, tiny.training(to: "run"), tiny.training(to: "run", ["--dropout", "0.2", "--global-batch-size", "8"]))
    #expect(run.exitCode == 1)
    run.expectOneError(containing: [
      "differ in their settings", "dropout: 0.1 on rank 0", "dropout: 0.2 on rank 1", "global_batch_size: 7 on rank 0",
      "global_batch_size: 8 on rank 1",
    ])
  }

  /// Content counts, not path, size and time.
  @Test func otherContentOfTheSameSizeAndTimeIsRead() throws {
    let tiny = try TinyRun()
    let file = tiny.file("data/train.jsonl")
    let time = try FileManager.default.attributesOfItem(atPath: file.path)[.modificationDate]
    func weights(_ output: String) throws -> Data {
      let run = try tiny.run(tiny.training(to: output))
      #expect(run.exitCode == 0, "\(run.errors)")
      return try Data(contentsOf: tiny.file("\(output)/adapter/adapter_model.safetensors"))
    }
    let old = try weights("old")
    try tiny.replace("film", by: "plot", in: "data/train.jsonl")
    try FileManager.default.setAttributes([.modificationDate: time ?? Date()], ofItemAtPath: file.path)
    let new = try weights("new")
    #expect(new != old)
    try tiny.remove("cache")
    #expect(try weights("afresh") == new)
  }
}
