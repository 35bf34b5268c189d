import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing

/// What is wrong with a model folder is said with file and key, and all at once.
@Suite struct ModelErrorTests {
  private static let badValues: [(key: String, value: JSON)] = [
    ("d_model", .null), ("d_model", 0), ("d_model", "64"), ("vocab_size", -1), ("num_layers", 0),
    ("num_layers", 100_000), ("num_heads", 1.5), ("feed_forward_proj", "softmax"),
    ("feed_forward_proj", "gated-gelu-new"), ("dense_act_fn", "relu6"),
    ("is_gated_act", 1),
    ("feed_forward_proj", "gated-relu6"),
    ("dropout_rate", 1), ("dropout_rate", -0.1), ("relative_attention_num_buckets", 6),
    ("relative_attention_num_buckets", 2), ("eos_token_id", 512), ("eos_token_id", []), ("pad_token_id", -1),
    ("decoder_start_token_id", "0"), ("tie_word_embeddings", "yes"), ("layer_norm_epsilon", "small"),
  ]

  @Test(arguments: badValues.indices)
  func aBadConfigurationNamesItsKey(index: Int) throws {
    let (key, value) = Self.badValues[index]
    var config = try Golden.config("t5_v10")
    // These come before feed_forward_proj.
    config["dense_act_fn"] = nil
    config["is_gated_act"] = nil
    config[key] = value
    let error = try #require(throws: CheckpointError.self) {
      _ = try T5Configuration(JSONObject(config, origin: "/models/x/config.json"), generation: nil)
    }
    guard case .badValue(let path, let named, _, _) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(path == "/models/x/config.json" && named == key)
  }

  @Test func optionalKeysHaveTheirDefaults() throws {
    let required = [
      "vocab_size", "d_model", "d_kv", "num_heads", "d_ff", "num_layers", "decoder_start_token_id",
    ]
    let config = try Golden.config("t5_v10").filter { required.contains($0.key) }
    let configuration = try T5Configuration(JSONObject(config, origin: "config"), generation: nil)
    #expect(configuration.decoderLayerCount == 2 && configuration.bucketCount == 32)
    #expect(
      configuration.maxDistance == 128 && configuration.normEpsilon == 1e-6
        && configuration.dropoutRate == 0.1)
    #expect(configuration.scalesOutputs && !configuration.isGated)
    #expect(configuration.padID == 0 && configuration.startID == 0 && configuration.eosIDs == [1])
  }

  /// Names that HF's classes read as well, and the width of a head where nobody says it.
  @Test func otherNamesOfSizes() throws {
    let names = ["hidden_size": "d_model", "num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"]
    var config = try Golden.config("t5_v10")
    for (name, key) in names {
      config[name] = config[key]
      config[key] = nil
    }
    config["d_kv"] = nil
    let configuration = try T5Configuration(JSONObject(config, origin: "config"), generation: nil)
    #expect(configuration.hiddenSize == 64 && configuration.headWidth == 64 && configuration.layerCount == 2)
    config["head_dim"] = 16
    #expect(try T5Configuration(JSONObject(config, origin: "config"), generation: nil).headWidth == 16)
    var gpt2 = try Golden.config("gpt2")
    for (name, key) in [("hidden_size", "n_embd"), ("max_position_embeddings", "n_positions")] {
      gpt2[name] = gpt2[key]
      gpt2[key] = nil
    }
    let other = try GPT2Configuration(JSONObject(gpt2, origin: "config"), generation: nil)
    #expect(other.hiddenSize == 64 && other.positionCount == 128)
  }

  /// The scale of tied outputs, as transformers 5 and hub files state it.
  @Test(
    arguments: [
      (nil, nil, true), (true, nil, true), (false, nil, false), (true, false, false), (false, true, true),
    ] as [(Bool?, Bool?, Bool)])
  func scaleOfOutputs(tied: Bool?, scale: Bool?, expected: Bool) throws {
    var config = try Golden.config("t5_v10")
    config["tie_word_embeddings"] = tied.map { .bool($0) } ?? .null
    config["scale_decoder_outputs"] = scale.map { .bool($0) } ?? .null
    #expect(
      try T5Configuration(JSONObject(config, origin: "config"), generation: nil).scalesOutputs == expected)
  }

  /// A head that is twice the embedding gives twice the logits, whether the configuration says so or not (transformers 5).
  @Test func anUntiedHeadIsNotTheEmbedding() throws {
    try withTemporaryFolder { folder in
      var config = try Golden.config("gpt2")
      var weights = try Golden.weights("gpt2")
      let name = try #require(weights.keys.first { $0.hasSuffix("wte.weight") })
      let head = try #require(weights[name]).copy()
      for index in 0..<head.count { head.pointer[index] *= 2 }
      weights["lm_head.weight"] = head
      try writeModel(config, weights, to: folder)
      func logits() throws -> [Float] {
        let model = try GPT2(ModelFolder(folder))
        #expect(model.parameters.contains { $0.name == "lm_head.weight" } == (weights["lm_head.weight"] != nil))
        return model.logits(Examples.leaf([0]), FrozenBase().inferencePass()).value.values
      }
      let doubled = try logits()
      weights["lm_head.weight"] = nil
      try writeModel(config, weights, to: folder)
      let tied = try logits()
      #expect(doubled == tied.map { 2 * $0 })
      weights["lm_head.weight"] = head
      config["tie_word_embeddings"] = false
      try writeModel(config, weights, to: folder)
      #expect(try logits() == tied.map { 2 * $0 })
      weights["lm_head.weight"] = nil
      try writeModel(config, weights, to: folder)
      let error = try #require(throws: CheckpointError.self) { _ = try GPT2(ModelFolder(folder)) }
      #expect("\(error)".contains("lm_head.weight"))
    }
  }

  @Test func generationConfigurationGoesFirst() throws {
    let config = JSONObject(try Golden.config("t5_v10"), origin: "config")
    let generation = JSONObject(["eos_token_id": [1, 7], "decoder_start_token_id": 3], origin: "generation")
    let configuration = try T5Configuration(config, generation: generation)
    #expect(configuration.eosIDs == [1, 7] && configuration.padID == 0)
    // A loss begins with the start token of config.json, as HF's forward pass does.
    #expect(configuration.generationStartID == 3 && configuration.startID == 0)
  }

  @Test func whatIsMissingMisshapenAndLeftOverIsListedAtOnce() throws {
    var weights = try Golden.weights("t5_v10")
    let gone = ["encoder.block.1.layer.0.SelfAttention.k.weight", "decoder.final_layer_norm.weight"]
    for name in gone { weights[name] = nil }
    weights["decoder.block.0.layer.2.DenseReluDense.wo.weight"] = Tensor(zeros: [128, 64])
    for name in ["encoder.block.2.layer.0.layer_norm.weight", "classifier.weight"] {
      weights[name] = Tensor(zeros: [64])
    }
    try withTemporaryFolder { folder in
      try writeModel(Golden.config("t5_v10"), weights, to: folder)
      let error = try #require(throws: CheckpointError.self) { _ = try T5(ModelFolder(folder)) }
      guard case .unfitWeights(let source, let problems) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(source == folder.path)
      #expect(Set(problems.missing) == Set(gone))
      #expect(Set(problems.surplus) == ["encoder.block.2.layer.0.layer_norm.weight", "classifier.weight"])
      let mismatch = try #require(problems.mismatched.first)
      #expect(problems.mismatched.count == 1 && mismatch.name.hasSuffix("DenseReluDense.wo.weight"))
      #expect(mismatch.expected == "[64, 128]" && mismatch.found.contains("[128, 64]"))
      for name in gone + ["classifier.weight"] { #expect("\(error)".contains(name)) }
    }
  }

  @Test func aModelOfAnotherFamilyIsRefused() throws {
    var config = try Golden.config("t5_v10")
    config["model_type"] = "bloom"
    let weights = try Golden.weights("t5_v10")
    try withTemporaryFolder { folder in
      try writeModel(config, weights, to: folder)
      let error = try #require(throws: CheckpointError.self) {
        _ = try ModelCatalogue.load(ModelFolder(folder))
      }
      guard case .wrongModelType(_, let expected, let found) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(expected.contains("t5") && found == "'bloom'")
      #expect(throws: CheckpointError.self) { _ = try T5(ModelFolder(folder)) }
    }
  }
}
