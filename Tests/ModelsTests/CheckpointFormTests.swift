import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing

/// The forms in which the same T5 comes: other precision, several files, copies of shared tensors.
@Suite struct CheckpointFormTests {
  private static func parameters(_ model: T5) -> [String: Tensor] {
    Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value) })
  }

  /// Nearest bfloat16, ties to even.
  private static func bfloat16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    return UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
  }

  @Test func bfloat16WeightsAreWidenedExactly() throws {
    let weights = try Golden.weights("t5_v10")
    try withTemporaryFolder { folder in
      var header: [String: JSON] = [:]
      var data = Data()
      for (name, tensor) in weights.sorted(by: { $0.key < $1.key }) {
        let begin = data.count
        for value in tensor.values {
          withUnsafeBytes(of: Self.bfloat16(value).littleEndian) { data.append(contentsOf: $0) }
        }
        header[name] = .object([
          "dtype": "BF16", "shape": .array(tensor.shape.map { .integer($0) }),
          "data_offsets": [.integer(begin), .integer(data.count)],
        ])
      }
      let text = Data(JSON.object(header).encoded(.compact).utf8)
      let file = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) } + text + data
      try file.write(to: folder.appendingPathComponent("model.safetensors"))
      try Data(JSON.object(Golden.config("t5_v10")).encoded().utf8)
        .write(to: folder.appendingPathComponent("config.json"))
      let loaded = Self.parameters(try T5(ModelFolder(folder)))
      #expect(loaded.count == 47)
      var changed = 0
      for (name, tensor) in weights {
        let rounded = tensor.values.map { Float(bitPattern: UInt32(Self.bfloat16($0)) << 16) }
        #expect(loaded[name]?.values == rounded, "\(name)")
        changed += rounded == tensor.values ? 0 : 1
      }
      #expect(changed > 40, "rounding to bfloat16 must have changed the weights")
    }
  }

  @Test func shardsMakeTheSameModel() throws {
    let weights = try Golden.weights("t5_v11")
    let whole = try Golden.t5v11()
    try withTemporaryFolder { folder in
      try Data(JSON.object(Golden.config("t5_v11")).encoded().utf8)
        .write(to: folder.appendingPathComponent("config.json"))
      var map: [String: JSON] = [:]
      let names = weights.keys.sorted()
      for shard in 0..<3 {
        let file = "model-0000\(shard + 1)-of-00003.safetensors"
        let members = names.enumerated().filter { $0.offset % 3 == shard }.compactMap { entry in
          weights[entry.element].map { (entry.element, $0) }
        }
        for (name, _) in members { map[name] = .string(file) }
        try SafetensorsWriter.write(tensors: members, to: folder.appendingPathComponent(file))
      }
      let index: JSON = ["metadata": ["total_size": 0], "weight_map": .object(map)]
      try Data(index.encoded().utf8).write(to: folder.appendingPathComponent("model.safetensors.index.json"))
      let sharded = try T5(ModelFolder(folder))
      #expect(sharded.parameters.map(\.name) == whole.parameters.map(\.name))
      for (a, b) in zip(sharded.parameters, whole.parameters) {
        #expect(a.value.hasSameBytes(as: b.value), "\(a.name)")
      }
      let leaf = Examples.leaf([3, 27])
      #expect(sharded.logitsByExample(leaf, FrozenBase()) == whole.logitsByExample(leaf, FrozenBase()))
    }
  }

  @Test func copiesOfTheSharedEmbeddingAreTolerated() throws {
    var weights = try Golden.weights("t5_v10")
    let shared = try #require(weights["shared.weight"])
    for name in ["lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] {
      weights[name] = shared
    }
    weights["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = Tensor(zeros: [32, 4])
    try withTemporaryFolder { folder in
      try writeModel(Golden.config("t5_v10"), weights, to: folder)
      let model = try T5(ModelFolder(folder))
      #expect(model.parameters.count == 47)
      #expect(Set(model.parameters.map(\.name)).count == 47)
      let head = try #require(model.description.linears.last)
      #expect(head.path == "lm_head" && head.weight === model.description.wordEmbedding)
      let leaf = Examples.leaf([3, 27])
      #expect(
        model.logitsByExample(leaf, FrozenBase()) == (try Golden.t5()).logitsByExample(leaf, FrozenBase()))
    }
  }

  @Test func anotherHeadIsAHeadOfItsOwn() throws {
    var weights = try Golden.weights("t5_v10")
    let own = try #require(weights["shared.weight"]).copy()
    own.pointer[5] += 1
    weights["lm_head.weight"] = own
    try withTemporaryFolder { folder in
      try writeModel(Golden.config("t5_v10"), weights, to: folder)
      let model = try T5(ModelFolder(folder))
      #expect(model.parameters.count == 48 && model.parameters.last?.name == "lm_head.weight")
      let head = try #require(model.description.linears.last)
      #expect(head.weight !== model.description.wordEmbedding)
      #expect(head.weight.value.hasSameBytes(as: own))
    }
  }

  /// The list of weights that a T5 consists of is that of the files.
  @Test(arguments: ["t5_v10", "t5_v11"])
  func weightShapesAreThoseOfTheFiles(name: String) throws {
    let configuration = try T5Configuration(
      JSONObject(file: Golden.models.appending(path: "\(name)/config.json")), generation: nil)
    let shapes = T5.weightShapes(configuration, hasOwnHead: name == "t5_v11")
    let expected = try Golden.weights(name).mapValues(\.shape)
    #expect(Dictionary(uniqueKeysWithValues: shapes.map { ($0.name, $0.shape) }) == expected)
  }

  @Test func aDeeperDecoder() throws {
    var config = try Golden.config("t5_v11")
    config["num_decoder_layers"] = 3
    let configuration = try T5Configuration(JSONObject(config, origin: "config"), generation: nil)
    let shapes = T5.weightShapes(configuration, hasOwnHead: true)
    let weights = shapes.map { ($0.name, Tensor(zeros: $0.shape)) }
    try withTemporaryFolder { folder in
      try writeModel(config, Dictionary(uniqueKeysWithValues: weights), to: folder)
      let description = try T5(ModelFolder(folder)).description
      #expect(description.layerCount == 2 && description.decoderLayerCount == 3)
      // Encoder: 4 + 3 projections a block; decoder: 4 + 4 + 3; the head.
      #expect(description.linears.count == 2 * 7 + 3 * 11 + 1)
      #expect(description.linears.contains { $0.path == "decoder.block.2.layer.1.EncDecAttention.v" })
    }
  }
}
