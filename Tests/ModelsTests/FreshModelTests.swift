import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing

/// Models that have learned nothing yet: names and shapes of Hugging Face, deviations of the family, the same bytes again.
@Suite struct FreshModelTests {
  private func shape(_ change: (inout FreshModelShape) -> Void = { _ in }) -> FreshModelShape {
    var shape = FreshModelShape(vocabularySize: 512, hiddenSize: 64, layerCount: 2, headCount: 4)
    change(&shape)
    return shape
  }

  private func shapes(_ model: FreshModel) -> [String: [Int]] {
    Dictionary(uniqueKeysWithValues: model.weights.map { ($0.name, $0.shape) })
  }

  /// The weights of the reference models, which transformers has written.
  @Test(arguments: ["t5_v10", "t5_v11", "gpt2_sharded", "roberta_bf16"])
  func namesAndShapesOfTheReference(name: String) throws {
    let model: FreshModel
    switch name {
    case "t5_v10": model = FreshModel(.t5, shape { $0.feedForwardSize = 128 })
    case "t5_v11":
      model = FreshModel(
        .t5,
        shape {
          $0.vocabularySize = 320
          $0.isGated = true
          $0.headWidth = 12
          $0.feedForwardSize = 96
        })
    case "gpt2_sharded": model = FreshModel(.gpt2, shape { $0.positionCount = 128 })
    default:
      model = FreshModel(
        .roberta,
        shape {
          $0.positionCount = 64
          $0.feedForwardSize = 128
          $0.labelCount = 2
        })
    }
    let source = try ModelFolder(Golden.models.appending(path: name)).weights()
    var expected: [String: [Int]] = [:]
    for name in source.names { expected[name] = source.scope().shape(name) }
    var found = shapes(model)
    if name == "t5_v11" {
      // The reference has buckets and layers of its own choice.
      for name in found.keys where name.hasSuffix("relative_attention_bias.weight") {
        found[name] = expected[name]
      }
      for key in ["DenseReluDense.wi_0", "DenseReluDense.wi_1", "DenseReluDense.wo"] {
        for name in found.keys where name.contains(key) { found[name] = expected[name] }
      }
    }
    #expect(found == expected)
  }

  @Test(arguments: [false, true]) func loadsAsAModel(isGated: Bool) throws {
    try withTemporaryFolder { folder in
      let fresh = FreshModel(
        .t5,
        shape {
          $0.isGated = isGated
          $0.decoderLayerCount = 1
        })
      try fresh.write(to: folder, seed: 3)
      let model = try ModelCatalogue.load(ModelFolder(folder))
      #expect(model.description.decoderLayerCount == 1 && model.description.layerCount == 2)
      #expect(model.parameters.count == fresh.weights.count)
    }
  }

  /// Every family is a model of the catalogue; one without a classifier gets it where it is loaded.
  @Test(arguments: FreshModel.Family.allCases) func everyFamilyLoads(family: FreshModel.Family) throws {
    try withTemporaryFolder { folder in
      try FreshModel(family, shape()).write(to: folder, seed: 3)
      let model = try ModelCatalogue.load(ModelFolder(folder))
      #expect(model.description.vocabularySize == 512 && model.description.layerCount == 2)
      #expect(model.description.dropoutRates.hidden == 0.1)
    }
  }

  @Test(arguments: [FreshModel.Family.roberta, .bert]) func classifiersKeepTheirHead(family: FreshModel.Family) throws {
    try withTemporaryFolder { folder in
      let fresh = FreshModel(family, shape { $0.labelCount = 3 })
      try fresh.write(to: folder, seed: 3)
      let model = try ModelCatalogue.load(ModelFolder(folder))
      #expect(Set(model.parameters.map(\.name)) == Set(fresh.weights.map(\.name)))
      #expect(model.parameters.last?.shape.first == 3)
    }
  }

  /// Mean square of each weight against what the family's `_init_weights` says.
  @Test func deviations() throws {
    func deviation(_ model: FreshModel, _ name: String) throws -> Double {
      try withTemporaryFolder { folder in
        try model.write(to: folder, seed: 5)
        let values = try SafetensorsFile(folder.appendingPathComponent("model.safetensors")).tensor(name).values
        return (values.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(values.count)).squareRoot()
      }
    }
    func expect(_ model: FreshModel, _ name: String, _ wanted: Double) throws {
      let found = try deviation(model, name)
      // Of 4,096 values or more the deviation is within 4 % at five standard deviations.
      #expect(abs(found / wanted - 1) < 0.06, "\(name): \(found), expected \(wanted)")
    }
    let t5 = FreshModel(.t5, shape { $0.headWidth = 32 })
    let block = "encoder.block.1.layer"
    try expect(t5, "shared.weight", 1)
    try expect(t5, "\(block).0.SelfAttention.q.weight", 1 / (64.0 * 32).squareRoot())
    try expect(t5, "\(block).0.SelfAttention.k.weight", 1 / 8)
    try expect(t5, "decoder.block.0.layer.1.EncDecAttention.o.weight", 1 / 128.0.squareRoot())
    try expect(t5, "\(block).1.DenseReluDense.wi.weight", 1 / 8)
    try expect(t5, "\(block).1.DenseReluDense.wo.weight", 1 / 16)
    #expect(try deviation(t5, "\(block).0.layer_norm.weight") == 1)
    let gpt2 = FreshModel(.gpt2, shape())
    try expect(gpt2, "transformer.wpe.weight", 0.02)
    try expect(gpt2, "transformer.h.1.attn.c_attn.weight", 0.02)
    try expect(gpt2, "transformer.h.1.mlp.c_proj.weight", 0.01)
    #expect(try deviation(gpt2, "transformer.h.0.ln_1.weight") == 1)
    #expect(try deviation(gpt2, "transformer.h.0.ln_1.bias") == 0)
    try expect(FreshModel(.bert, shape()), "bert.encoder.layer.0.intermediate.dense.weight", 0.02)
  }

  @Test func paddingRowsAreZero() throws {
    for (family, name, row) in [
      (.roberta, "roberta.embeddings.word_embeddings.weight", 1),
      (.roberta, "roberta.embeddings.position_embeddings.weight", 1),
      (.bert, "bert.embeddings.word_embeddings.weight", 0),
    ] as [(FreshModel.Family, String, Int)] {
      try withTemporaryFolder { folder in
        try FreshModel(family, shape()).write(to: folder, seed: 5)
        let tensor = try SafetensorsFile(folder.appendingPathComponent("model.safetensors")).tensor(name)
        let zero = (0..<tensor.rows).filter { tensor.rows($0..<$0 + 1).values.allSatisfy { $0 == 0 } }
        #expect(zero == [row])
      }
    }
  }

  /// Weights of one seed, their rounding to bfloat16, and those of another seed.
  @Test func seedsAndTypes() throws {
    func weights(_ seed: UInt64, _ type: SafetensorsType) throws -> (digest: String, q: Tensor) {
      try withTemporaryFolder { folder in
        let digest = try FreshModel(.t5, shape()).write(to: folder, seed: seed, as: type)
        let file = try SafetensorsFile(folder.appendingPathComponent("model.safetensors"))
        let name = "encoder.block.0.layer.0.SelfAttention.q.weight"
        #expect(file.info(name)?.type == type)
        let dtype = try JSONObject(file: folder.appendingPathComponent("config.json")).string("dtype")
        #expect(dtype == (type == .bf16 ? "bfloat16" : "float32"))
        let read = try file.tensor(name)
        let copy = Tensor(zeros: read.shape)
        copy.copyElements(from: read)
        return (digest.sha256, copy)
      }
    }
    let (full, again, half, other) = try (
      weights(1, .f32), weights(1, .f32), weights(1, .bf16), weights(2, .f32)
    )
    #expect(full.digest == again.digest && full.digest != other.digest)
    for (value, rounded) in zip(full.q.values, half.q.values) {
      #expect(rounded.bitPattern & 0xFFFF == 0)
      #expect(abs(value - rounded) <= abs(value) / 256)
    }
  }
}
