import Foundation
import TestSupport
import Testing

/// What `evaluate` refuses: adapters that cannot be used with the model, and files it could not write.
@Suite struct BadAdapterTests {
  @Test func adapterThatDoesNotFit() throws {
    let tiny = try TinyRun()
    for method in ["lora", "prompt-tuning"] {
      let run = try tiny.run(tiny.training(to: method, ["--method", method, "--steps", "1"]))
      #expect(run.exitCode == 0, "\(run.errors)")
    }
    func expectRefusal(_ adapter: String, _ parts: [String], ranks: Int? = nil) throws {
      let run = try tiny.run(tiny.evaluation(["--adapter", tiny.file(adapter).path]), ranks: ranks)
      #expect(run.exitCode == 1 && run.output.isEmpty)
      run.expectOneError(containing: parts)
    }
    try expectRefusal("nix", [tiny.file("nix").path, "check the path"])
    try expectRefusal(
      "lora", ["adapter_config.json is missing", "give \(tiny.file("lora/adapter").path), where one is"])

    let copy = tiny.file("copy")
    func spoil(_ change: () throws -> Void) throws {
      try? FileManager.default.removeItem(at: copy)
      try FileManager.default.copyItem(at: tiny.file("lora/adapter"), to: copy)
      try change()
    }
    try spoil { try tiny.replace("\"LORA\"", by: "\"XLORA\"", in: "copy/adapter_config.json") }
    try expectRefusal("copy", ["key 'peft_type': 'XLORA' is not supported"])
    try spoil { try tiny.edit("copy/adapter_model.safetensors") { $0.removeLast(50) } }
    try expectRefusal("copy", ["copy/adapter_model.safetensors"])
    try spoil { try tiny.replace("\"r\": 8", by: "\"r\": 4", in: "copy/adapter_config.json") }
    try expectRefusal("copy", ["q.lora_A.weight: expected [4, 32], found [8, 32]"])

    // Another base: half as wide.
    try tiny.replace("\"d_kv\": 8", by: "\"d_kv\": 4", in: "model/config.json")
    try tiny.replaceWeights(
      Dictionary(
        uniqueKeysWithValues: TinyRun.weights().map(\.0).compactMap { name in
          ["q", "k", "v"].contains { name.hasSuffix("Attention.\($0).weight") }
            ? (name, [16, 32])
            : name.hasSuffix("Attention.o.weight") ? (name, [32, 16]) : nil
        }))
    try expectRefusal(
      "lora/adapter",
      [
        "lora/adapter does not fit this model", "base model '\(tiny.model.path)'",
        "expected [16, 8], found [32, 8]",
      ],
      ranks: 2)
  }

  @Test func evaluationFindsOutFirstWhetherItCanWrite() throws {
    let tiny = try TinyRun()
    for (flag, path) in [
      ("--predictions", "nix/file"), ("--dump", "data"), ("--predictions", "data/test.jsonl/x"),
    ] {
      let run = try tiny.run(tiny.evaluation([flag, tiny.file(path).path]), ranks: 2)
      #expect(run.exitCode == 1 && run.output.isEmpty)
      let named = path == "data" ? path : String(path.dropLast(path == "nix/file" ? 5 : 2))
      run.expectOneError(containing: [tiny.file(named).path])
      #expect(!run.errors.contains("leaf"), "\(run.errors)")
    }
  }
}
