import Checkpoints
import Foundation
import TensorCore
import Testing

@Suite("Model folders")
struct ModelFolderTests {
  private static let config = "{\"model_type\": \"t5\", \"d_model\": 2}"

  private static func one(_ value: Float) -> Tensor { Tensor([value, value], shape: [2]) }

  /// A folder with two shards: `a`, `b` in the first, `c` in the second.
  private static func makeShards(in folder: URL, weightMap: String? = nil) throws {
    try config.write("config.json", in: folder)
    let map = weightMap ?? "{\"a\":\"m-1.safetensors\",\"b\":\"m-1.safetensors\",\"c\":\"m-2.safetensors\"}"
    try "{\"metadata\":{\"total_size\":24},\"weight_map\":\(map)}".write(
      "model.safetensors.index.json", in: folder)
    try SafetensorsWriter.write(
      tensors: [("a", one(1)), ("b", one(2))], to: folder.appendingPathComponent("m-1.safetensors"))
    try SafetensorsWriter.write(
      tensors: [("c", one(3))], to: folder.appendingPathComponent("m-2.safetensors"))
  }

  @Test func goldenT5() throws {
    let folder = try ModelFolder(goldens.appendingPathComponent("models/t5_v10"))
    try folder.requireModelType("mt5", "t5")
    #expect(try folder.config.dimension("d_model") == 64)
    #expect(try folder.config.double("layer_norm_epsilon") == 1e-6)
    let generation = try #require(folder.generationConfig)
    #expect(try generation.int("decoder_start_token_id") == 0)
    let weights = folder.weights()
    #expect(weights.names.count == 47)
    let bias = weights.scope("encoder").scope("block.0").scope("layer.0.SelfAttention")
      .tensor("relative_attention_bias.weight", [32, 4])
    // From the same file, read with Hugging Face's library.
    #expect(Array(bias.values[..<4]) == Self.goldenBias)
    let shared = weights.tensor("shared.weight", [512, 64])
    #expect(shared.values.reduce(0) { $0 + Double($1) }.isApproximately(Self.goldenSharedSum, within: 1e-9))
  }

  private static let goldenBias: [Float] = [
    0.6999348402023315, 0.30996188521385193, 1.1477301120758057, -0.7776839137077332,
  ]
  private static let goldenSharedSum = -240.67545641179458

  @Test func bfloat16Model() throws {
    let weights = try ModelFolder(goldens.appendingPathComponent("models/roberta_bf16")).weights()
    let tensor = weights.tensor("roberta.encoder.layer.0.attention.self.query.weight", [64, 64])
    #expect(Array(tensor.values[..<4]) == [-0.1025390625, -0.05810546875, 0.103515625, -0.09130859375])
    #expect(tensor.values.allSatisfy { $0.bitPattern & 0xFFFF == 0 })
  }

  /// The shards of the golden model hold every tensor of its index, in three files.
  @Test func shardedModel() throws {
    let folder = try ModelFolder(goldens.appendingPathComponent("models/gpt2_sharded"))
    let weights = folder.weights()
    #expect(weights.names.count == 28)
    for name in weights.names {
      let scope = weights.scope("")
      _ = scope.tensor(name, try #require(scope.shape(name)))
    }
    try weights.finish()
    #expect(
      Array(weights.tensor("transformer.wte.weight", [512, 64]).values[..<2]) == [
        0.22263899445533752, 0.0826478973031044,
      ])
    #expect(
      Array(weights.tensor("transformer.ln_f.weight", [64]).values[..<2]) == [
        0.9954679012298584, 1.0622789859771729,
      ])
  }

  @Test func shardsOfOnesOwn() throws {
    try withTemporaryFolder { folder in
      try Self.makeShards(in: folder)
      let weights = try ModelFolder(folder).weights()
      #expect(weights.names == ["a", "b", "c"])
      #expect(weights.tensor("b", [2]).values == [2, 2])
      #expect(weights.tensor("c", [2]).values == [3, 3])
    }
  }

  @Test func aMissingShardIsNamed() throws {
    try withTemporaryFolder { folder in
      try Self.makeShards(in: folder)
      try FileManager.default.removeItem(at: folder.appendingPathComponent("m-2.safetensors"))
      let message = "\(try checkpointError { try ModelFolder(folder) })"
      #expect(message.contains("m-2.safetensors is missing") && message.contains("tensor 'c'"))
    }
  }

  @Test func aNameOfTheIndexThatNoShardHas() throws {
    try withTemporaryFolder { folder in
      try Self.makeShards(in: folder, weightMap: "{\"a\":\"m-1.safetensors\",\"ghost\":\"m-1.safetensors\"}")
      let message = "\(try checkpointError { try ModelFolder(folder) })"
      #expect(message.contains("m-1.safetensors, tensor 'ghost'"))
    }
  }

  @Test func aTensorTheIndexForgetsIsSurplus() throws {
    try withTemporaryFolder { folder in
      try Self.makeShards(in: folder, weightMap: "{\"a\":\"m-1.safetensors\"}")
      let weights = try ModelFolder(folder).weights()
      _ = weights.tensor("a", [2])
      #expect("\(try checkpointError { try weights.finish() })".contains("not part of the model (1):\n    b"))
    }
  }

  @Test(arguments: [
    "../m-1.safetensors", "/etc/passwd", "x/../../m-1.safetensors", "sub/m-1.safetensors", "..", "",
    "m-1.bin",
    ".hidden.safetensors", "m\\u0000.safetensors",
  ])
  func shardNamesStayInTheFolder(_ name: String) throws {
    try withTemporaryFolder { folder in
      try Self.makeShards(in: folder, weightMap: "{\"a\":\"\(name)\"}")
      guard
        case .badValue(let path, let key, let expected, _) = try checkpointError({ try ModelFolder(folder) })
      else {
        Issue.record("another error")
        return
      }
      #expect(path.hasSuffix("model.safetensors.index.json") && key == "weight_map.a")
      #expect(expected == "the name of a .safetensors file in the same folder")
    }
  }

  @Test func indexWithoutMap() throws {
    try withTemporaryFolder { folder in
      try Self.makeShards(in: folder)
      try "{\"weights\":{}}".write("model.safetensors.index.json", in: folder)
      let message = "\(try checkpointError { try ModelFolder(folder) })"
      #expect(message.contains("index.json, key 'weight_map': expected an object, found nothing"))
    }
  }

  @Test func anotherArchitecture() throws {
    let folder = try ModelFolder(goldens.appendingPathComponent("models/gpt2_sharded"))
    let message = "\(try checkpointError { try folder.requireModelType("t5", "mt5") })"
    #expect(
      message.contains("gpt2_sharded/config.json, key 'model_type': expected 't5' or 'mt5', found \"gpt2\""))
  }

  @Test func noModelType() throws {
    try withTemporaryFolder { folder in
      try Self.makeShards(in: folder)
      try "{}".write("config.json", in: folder)
      let model = try ModelFolder(folder)
      #expect("\(try checkpointError { try model.requireModelType("t5") })".contains("found nothing"))
    }
  }

  @Test func whatAFolderMayLack() throws {
    try withTemporaryFolder { folder in
      func message() throws -> String { "\(try checkpointError { try ModelFolder(folder) })" }
      #expect(try message().contains("config.json is missing"))
      try Self.config.write("config.json", in: folder)
      #expect(try message().contains("model.safetensors is missing"))
      try "PK".write("pytorch_model.bin", in: folder)
      let unconverted = try message()
      #expect(unconverted.contains("pytorch_model.bin: expected weights in safetensors format"))
      #expect(unconverted.contains("convert"))
      try "{\"d_model\": }".write("config.json", in: folder)
      #expect(try message().contains("config.json, line 1, column 13: not valid JSON"))
    }
  }

  @Test func noFolderAtAll() throws {
    let absent = URL(fileURLWithPath: "/nowhere/model")
    #expect("\(try checkpointError { try ModelFolder(absent) })".hasPrefix("/nowhere/model is missing"))
    let file = goldens.appendingPathComponent("models/t5_v10/config.json")
    #expect("\(try checkpointError { try ModelFolder(file) })".contains("expected a folder, found a file"))
  }

  @Test func identityFollowsTheContent() throws {
    try withTemporaryFolder { folder in
      try Self.makeShards(in: folder)
      let original = try ModelFolder(folder).identity()
      #expect(original.count == 64)
      #expect(try ModelFolder(folder).identity() == original)
      let copy = folder.appendingPathComponent("copy")
      try FileManager.default.createDirectory(at: copy, withIntermediateDirectories: true)
      try Self.makeShards(in: copy)
      #expect(try ModelFolder(copy).identity() == original)
      let shard = folder.appendingPathComponent("m-2.safetensors")
      try SafetensorsWriter.write(tensors: [("c", Self.one(3.0000002))], to: shard)
      #expect(try ModelFolder(folder).identity() != original)
      try (Self.config + " ").write("config.json", in: copy)
      #expect(try ModelFolder(copy).identity() != original)
    }
  }
}

extension Double {
  fileprivate func isApproximately(_ other: Double, within tolerance: Double) -> Bool {
    abs(self - other) <= tolerance
  }
}
