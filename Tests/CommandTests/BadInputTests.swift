import Foundation
import TensorCore
import TestSupport
import Testing

/// Input that cannot be used: one error that names file, key or line and the way out, exit code 1 from every
/// rank, nothing left hanging and nothing of the output begun or harmed.
@Suite struct BadInputTests {
  /// A way to spoil the input, and what the message must say.
  struct Spoiling: CustomTestStringConvertible, Sendable {
    let name: String
    var flags: [String] = []
    var ranks: Int? = 2
    /// Whether training begins before the fault shows.
    var begins = false
    let parts: [String]
    var spoil: @Sendable (TinyRun) throws -> Void = { _ in }
    var testDescription: String { name }
  }

  @Test(arguments: models) func refusesModel(_ spoiling: Spoiling) throws { try expectRefusal(spoiling) }
  @Test(arguments: tokenizers) func refusesTokenizer(_ spoiling: Spoiling) throws {
    try expectRefusal(spoiling)
  }
  @Test(arguments: data) func refusesData(_ spoiling: Spoiling) throws { try expectRefusal(spoiling) }
  @Test(arguments: flags) func refusesFlags(_ spoiling: Spoiling) throws { try expectRefusal(spoiling) }

  private func expectRefusal(_ spoiling: Spoiling) throws {
    let tiny = try TinyRun()
    try spoiling.spoil(tiny)
    let run = try tiny.run(
      tiny.training(to: "run", spoiling.flags), ranks: spoiling.ranks, timeoutSeconds: 30)
    #expect(run.exitCode == 1, "\(run.errors)")
    run.expectOneError(containing: spoiling.parts)
    #expect(run.output.isEmpty)
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run/adapter").path))
    let hasBegun = FileManager.default.fileExists(atPath: tiny.file("run/metrics.jsonl").path)
    #expect(hasBegun == spoiling.begins, "training had begun: \(hasBegun)")
  }

  // MARK: Model

  private static let weights = "model/model.safetensors"

  static let models: [Spoiling] = [
    .init(name: "truncated data", parts: ["model.safetensors", "the file has 194"]) {
      try $0.edit(weights) { $0.removeLast($0.count - 200_000) }
    },
    .init(
      name: "truncated header", ranks: nil,
      parts: ["model.safetensors", "in a file of 100 bytes", "copy it again"]
    ) {
      try $0.edit(weights) { $0.removeLast($0.count - 100) }
    },
    .init(name: "empty weights", ranks: nil, parts: ["model.safetensors", "0 bytes"]) {
      try $0.edit(weights) { $0 = Data() }
    },
    .init(name: "huge header", ranks: nil, parts: ["model.safetensors", "is announced, the limit is"]) {
      try $0.edit(weights) { $0.replaceSubrange(0..<8, with: Data(repeating: 255, count: 8)) }
    },
    .init(
      name: "range beyond the file", ranks: nil,
      parts: ["model.safetensors", "'decoder.final_layer_norm.weight'"]
    ) {
      try $0.editHeader("decoder.final_layer_norm.weight", range: 0..<1_000_000_000_000_000)
    },
    .init(name: "overlapping ranges", ranks: nil, parts: ["model.safetensors", "tensor '"]) {
      try $0.editHeader("decoder.final_layer_norm.weight", range: 128..<256)
    },
    .init(
      name: "unknown type", ranks: nil,
      parts: ["'shared.weight': dtype 'Q7' is not supported, known are F64 F32"]
    ) {
      try $0.editHeader("shared.weight", type: "Q7")
    },
    .init(
      name: "integers", ranks: nil,
      parts: ["shared.weight: expected [1128, 32] of floating-point numbers, found [1128, 32] of I32"]
    ) {
      try $0.editHeader("shared.weight", type: "I32")
    },
    .init(
      name: "weights that do not fit",
      parts: [
        "missing (2):", "encoder.final_layer_norm.weight", "decoder.block.1.layer.1.EncDecAttention.q.weight",
        "of another shape or type (2):", "shared.weight: expected [1128, 32], found [1128, 16]",
        "SelfAttention.q.weight: expected [32, 32], found [16, 32]", "not part of the model (1):",
        "surplus.weight",
      ]
    ) {
      try $0.replaceWeights([
        "encoder.final_layer_norm.weight": nil, "decoder.block.1.layer.1.EncDecAttention.q.weight": nil,
        "shared.weight": [1128, 16], "encoder.block.0.layer.0.SelfAttention.q.weight": [16, 32],
        "surplus.weight": [2],
      ])
    },
    .init(name: "no weights", ranks: nil, parts: ["model.safetensors is missing"]) { try $0.remove(weights) },
    .init(name: "no folder", parts: ["/model is missing", "check the path"]) { try $0.remove("model") },
    .init(name: "no configuration", ranks: nil, parts: ["config.json is missing"]) {
      try $0.remove("model/config.json")
    },
    .init(
      name: "another architecture",
      parts: ["config.json, key 'model_type': expected 't5' or 'mt5' or 'gpt2' or 'bert' or 'roberta', found 'opt'"]
    ) {
      try $0.replace("\"t5\"", by: "\"opt\"", in: "model/config.json")
    },
    .init(
      name: "malformed configuration", ranks: nil, parts: ["config.json, line 2, column 1: not valid JSON"]
    ) {
      try Data("{\n".utf8).write(to: $0.file("model/config.json"))
    },
    .init(
      name: "a size that is no number", ranks: nil,
      parts: ["config.json, key 'd_model': expected", "found \"wide\""]
    ) {
      try $0.replace("\"d_model\": 32", by: "\"d_model\": \"wide\"", in: "model/config.json")
    },
    .init(
      name: "not a number", begins: true,
      parts: ["step 1: ", "the base model is damaged, as encoder.final_layer_norm.weight is not finite"]
    ) {
      try $0.replaceWeights(["encoder.final_layer_norm.weight": [32]], with: .nan)
    },
    .init(
      name: "overflow", flags: ["--method", "full", "--learning-rate", "1e30"], begins: true,
      parts: ["step 2: ", "the training examples ", "Lower --learning-rate"]),
  ]

  // MARK: Tokenizer

  private static let pieces = "model/spiece.model"

  static let tokenizers: [Spoiling] = [
    .init(name: "no spiece.model", parts: ["has neither tokenizer.json nor spiece.model; copy"]) {
      try $0.remove(pieces)
    },
    .init(name: "truncated", ranks: nil, parts: ["spiece.model is not a usable SentencePiece model"]) {
      try $0.edit(pieces) { $0.removeLast($0.count - 1000) }
    },
    .init(name: "no protobuf", ranks: nil, parts: ["spiece.model is not a usable SentencePiece model"]) {
      try Data("this is no model\n".utf8).write(to: $0.file(pieces))
    },
    .init(
      name: "another vocabulary",
      parts: [
        "spiece.model has 1100 ids, but the model's embedding has 1000 rows", "use the one that came with",
      ]
    ) {
      try $0.replace("1128", by: "1000", in: "model/config.json")
      try $0.replaceWeights(["shared.weight": [1000, 32]])
    },
  ]

  // MARK: Data

  private static let train = "data/train.jsonl"

  static let data: [Spoiling] = [
    .init(
      name: "malformed line",
      parts: ["train.jsonl:5: expected one JSON object, found malformed JSON: {\"text\": 3"]
    ) {
      try $0.replaceLine(5, of: train, by: "{\"text\": 3")
    },
    .init(name: "missing column", parts: ["train.jsonl:7: the object has no \"label\""]) {
      try $0.replaceLine(7, of: train, by: "{\"text\": \"x\"}")
    },
    .init(name: "wrong type", ranks: nil, parts: ["train.jsonl:60: \"text\" is not text"]) {
      try $0.replaceLine(60, of: train, by: "{\"text\": 1, \"label\": 1}")
    },
    .init(
      name: "unknown label",
      parts: ["train.jsonl:1: unknown label 7; this task knows 0 (negative) and 1 (positive)"]
    ) {
      try $0.replaceLine(1, of: train, by: "{\"text\": \"x\", \"label\": 7}")
    },
    .init(
      name: "not UTF-8", ranks: nil, parts: ["train.jsonl:1: the text is not valid UTF-8; convert the file"]
    ) {
      try Data([0x22, 0xff, 0x22, 10]).write(to: $0.file(train))
    },
    .init(name: "empty file", parts: ["train.jsonl holds no examples"]) {
      try Data().write(to: $0.file(train))
    },
    .init(
      name: "no file", ranks: nil, parts: ["there is no train data of task imdb here; expected train.jsonl"]
    ) { try $0.remove(train) },
    .init(name: "no folder", parts: ["/data: the data directory does not exist; see --data-dir"]) {
      try $0.remove("data")
    },
    .init(name: "unknown label in the test file", parts: ["test.jsonl:20: unknown label maybe"]) {
      try $0.replaceLine(20, of: "data/test.jsonl", by: "{\"text\": \"x\", \"label\": \"maybe\"}")
    },
    .init(name: "empty test file", ranks: nil, parts: ["test.jsonl holds no examples"]) {
      try Data().write(to: $0.file("data/test.jsonl"))
    },
    .init(
      name: "more ranks than examples", flags: ["--validation-fraction", "0"], ranks: 3,
      parts: ["train.jsonl has 2 training examples for 3 ranks; start at most 2 ranks"]
    ) { try Reviews.text(count: 2, from: 0).write(to: $0.file(train)) },
    .init(
      name: "nothing left to train on", flags: ["--validation-fraction", "0.99"], ranks: nil,
      parts: ["leaves no example to train on; lower --validation-fraction"]
    ) { try Reviews.text(count: 1, from: 0).write(to: $0.file(train)) },
  ]

  // MARK: Flags

  static let flags: [Spoiling] = [
    .init(
      name: "unknown task", flags: ["--task", "imbd"], ranks: nil,
      parts: ["no task \"imbd\"; known tasks: imdb"]),
    .init(
      name: "bad expression", flags: ["--method", "lora", "--target-modules", "q("],
      parts: ["--target-modules is 'q('; expected a valid regular expression"]),
    .init(
      name: "no module matches", flags: ["--method", "lora", "--target-modules", "zz"],
      parts: ["--target-modules 'zz' matches no module of the model", "k, lm_head, o, q, v, wi, wo"]),
    .init(
      name: "not a projection", flags: ["--method", "lora", "--target-modules", "layer_norm"], ranks: nil,
      parts: ["--target-modules matches 'encoder.block.0.layer.0.layer_norm'", "no linear projection"]),
    .init(
      name: "an epsilon below zero", ranks: nil,
      parts: ["config.json, key 'layer_norm_epsilon': expected a number from 0 to 1, found -1"]
    ) {
      try $0.edit("model/config.json") {
        $0 = Data(String(decoding: $0, as: UTF8.self).dropLast().appending(", \"layer_norm_epsilon\": -1}").utf8)
      }
    },
    .init(name: "a file in the way", parts: ["/run", "expected a folder, found a file"]) {
      try Data().write(to: $0.file("run"))
    },
  ]

  @Test(arguments: [nil, 2]) func outputThatCannotBeMade(ranks: Int?) throws {
    let tiny = try TinyRun()
    try Data("precious".utf8).write(to: tiny.file("note"))
    for output in ["note/run", "/proc/run"] {
      let path = output.hasPrefix("/") ? output : tiny.file(output).path
      let run = try tiny.run(tiny.training(to: "x", ["--output", path]), ranks: ranks)
      #expect(run.exitCode == 1)
      run.expectOneError(containing: [output.hasPrefix("/") ? "/proc/run" : tiny.file("note").path])
    }
    #expect(try Data(contentsOf: tiny.file("note")) == Data("precious".utf8))
  }

  @Test(arguments: [
    (["--global-batch-size", "0"], "--global-batch-size 0: expected 1 to"),
    (["--steps", "-1"], "--steps"), (["--dropout", "1.5"], "--dropout 1.5: expected a share"),
    (["--validation-fraction", "1"], "--validation-fraction 1.0"),
    (["--learning-rate", "nan"], "--learning-rate nan"),
    (["--method", "loar"], "--method loar: expected full, prompt-tuning, lora"),
    (["--optimizer", "adan"], "--optimizer adan"), (["--schedule", "triangle"], "--schedule triangle"),
    (["--leaf-tokens", "2"], "--leaf-tokens"), (["--threads-per-rank", "0"], "--threads-per-rank"),
    (["--prompt-init", "text"], "--prompt-init-text"), (["--precision", "fp8"], "--precision fp8"),
    (["--lora-rank-pattern", "q"], "--lora-rank-pattern"),
    (["--loss-scale", "0.5"], "--loss-scale 0.5: expected dynamic, none or a number from 1"),
    (["--loss-scale", "dynamic", "--initial-loss-scale", "0"], "--initial-loss-scale 0.0: expected a number from 1"),
    (["--loss-scale", "dynamic", "--loss-scale-window", "0"], "--loss-scale-window 0: expected 1 to"),
    (["--virtual-tokens", "0"], "--virtual-tokens 0: expected 1 to"),
    (["--virtual-tokens", "1000000000000"], "--virtual-tokens 1000000000000: expected 1 to"),
    (["--method", "lora", "--lora-r", "0"], "--lora-r 0: expected 1 to"),
    (["--lora-r", "\(Int.max)"], "--lora-r \(Int.max): expected 1 to"),
    (["--steps", "\(Int.max)"], "--steps \(Int.max): expected 1 to"),
    (["--epochs", "\(Int.max)"], "--epochs \(Int.max): expected 1 to"),
    (["--global-batch-size", "\(Int.max)"], "--global-batch-size \(Int.max): expected 1 to"),
    (["--max-target-length", "\(Int.max)"], "--max-target-length \(Int.max): expected 2 to"),
    (["--method", "lora", "--layers-to-transform", "0-9999999999999"], "--layers-to-transform: expected numbers"),
    (["--max-source-length", "1"], "--max-source-length 1: expected 2 to"),
    (["--seed", "\(UInt64.max)"], "--seed \(UInt64.max): expected 0 to \(Int.max)"),
    (["--initial-loss-scale", "8"], "--initial-loss-scale and --loss-scale-window belong to --loss-scale dynamic"),
  ])
  func valuesOutOfRangeAreUsageErrors(flags: [String], part: String) throws {
    let tiny = try TinyRun()
    let run = try tiny.run(tiny.training(to: "run", flags))
    #expect(run.exitCode == 2)
    run.expectOneError(containing: [part])
    #expect(!FileManager.default.fileExists(atPath: tiny.file("run").path))
  }
}
