import Checkpoints
import Models
import NN
import TensorCore
import Testing

@testable import PEFTMethods

@Suite struct LoRATests {
  private static let prefix = "base_model.model."

  private func lora(
    _ name: String = "t5_v10", seed: UInt64 = 42, _ change: (inout MethodOptions) -> Void = { _ in }
  ) throws -> (lora: LoRA, model: T5) {
    let model = try Golden.model(name)
    let configuration = LoRAConfiguration(MethodOptions(change), model.description)
    return (try LoRA(configuration, model, values: { _, _ in nil }, seed: seed), model)
  }

  // MARK: Initial values

  @Test func aIsUniformAndBZero() throws {
    let (method, _) = try lora {
      $0.factorRank = 16
      $0.targetModules = .names(["q", "wo"])
    }
    var scaled: [Float] = []
    for parameter in method.parameters {
      if parameter.name.hasSuffix("lora_B.weight") {
        #expect(parameter.value.values.allSatisfy { $0.bitPattern == 0 }, "\(parameter.name)")
        continue
      }
      #expect(parameter.name.hasSuffix("lora_A.weight") && parameter.shape[0] == 16)
      // PyTorch's kaiming_uniform with a = √5: uniform up to 1 / √in.
      let bound = 1 / Float(parameter.shape[1]).squareRoot()
      #expect(parameter.value.values.allSatisfy { abs($0) <= bound }, "\(parameter.name)")
      scaled += parameter.value.values.map { $0 / bound }
    }
    // 6 q of 16 x 64 and 4 wo of 16 x 128; a uniform value in (-1, 1) has deviation 1/√3 = 0.57735.
    #expect(scaled.count == 6 * 16 * 64 + 4 * 16 * 128)
    let (mean, deviation) = moments(scaled)
    #expect(abs(mean) < 4 * 0.57735 / Double(scaled.count).squareRoot())
    #expect(abs(deviation - 0.57735) < 0.01)
    #expect((scaled.max() ?? 0) > 0.999 && (scaled.min() ?? 0) < -0.999)
    let below = scaled.count { $0 < -0.5 }
    #expect(abs(Double(below) / Double(scaled.count) - 0.25) < 0.02)
  }

  @Test func valuesFollowFromTheSeedAndDifferBetweenSites() throws {
    let (first, second, other) = (try lora().lora, try lora().lora, try lora(seed: 43).lora)
    #expect(first.parameters.count == 24 && first.parameters.map(\.name) == second.parameters.map(\.name))
    for (a, b) in zip(first.parameters, second.parameters) { #expect(a.value.hasSameBytes(as: b.value)) }
    let factors = first.parameters.filter { $0.name.hasSuffix("lora_A.weight") }.map(\.value.values)
    #expect(Set(factors).count == 12)
    #expect(first.parameters[0].value.values != other.parameters[0].value.values)
  }

  @Test(arguments: ["t5_v10", "t5_v11"])
  func theStartIsTheBaseModel(name: String) throws {
    let (method, model) = try lora(name) { $0.targetModules = .allLinear }
    let base = model.logits(FrozenBase()).values
    // Not bit for bit: a model may fold projections that no method adapts.
    #expect(largestDifference(model.logits(method).values, base) <= 1e-5)
    let b = try #require(method.parameters.first { $0.name.hasSuffix("lora_B.weight") })
    b.value.fill(0.1)
    #expect(largestDifference(model.logits(method).values, base) > 1e-2)
  }

  // MARK: Rank and scaling of a projection

  @Test func theFirstPatternThatMatchesCounts() throws {
    let (_, model) = try lora()
    let configuration = LoRAConfiguration(
      MethodOptions {
        $0.factorRank = 8
        $0.alpha = 16
        $0.rankPattern = ["block.0.*q": 4, "q": 2, "SelfAttention.q": 9]
        $0.alphaPattern = ["EncDecAttention.(q|v)": 3, "block.1.layer.0.SelfAttention.v": 5]
      }, model.description)
    func factors(_ path: String) throws -> [Float] {
      let factors = try configuration.factors(path: path)
      return [Float(factors.rank), factors.scaling]
    }
    #expect(try factors("encoder.block.0.layer.0.SelfAttention.q") == [4, 16.0 / 4])
    #expect(try factors("encoder.block.1.layer.0.SelfAttention.q") == [2, 16.0 / 2])
    #expect(try factors("decoder.block.1.layer.1.EncDecAttention.q") == [2, 3.0 / 2])
    #expect(try factors("decoder.block.0.layer.1.EncDecAttention.v") == [8, 3.0 / 8])
    #expect(try factors("decoder.block.1.layer.0.SelfAttention.v") == [8, 5.0 / 8])
    #expect(try factors("decoder.block.0.layer.0.SelfAttention.v") == [8, 2])
    // A pattern begins at a dot or at the start, and reaches to the end.
    #expect(try factors("encoder.xq") == [8, 2])
    #expect(try factors("q") == [2, 8])
    #expect(try factors("q.weight") == [8, 2])
  }

  @Test func patternsGiveTheShapes() throws {
    let (method, _) = try lora {
      $0.factorRank = 3
      $0.rankPattern = ["EncDecAttention.v": 5]
    }
    #expect(
      try method.tensor("\(Self.prefix)decoder.block.1.layer.1.EncDecAttention.v.lora_A.weight").shape == [
        5, 64,
      ])
    #expect(
      try method.tensor("\(Self.prefix)decoder.block.1.layer.1.EncDecAttention.v.lora_B.weight").shape == [
        64, 5,
      ])
    #expect(
      try method.tensor("\(Self.prefix)decoder.block.1.layer.1.EncDecAttention.q.lora_A.weight").shape == [
        3, 64,
      ])
  }

  @Test func rankStabilizedScaling() throws {
    let (_, model) = try lora()
    let configuration = LoRAConfiguration(
      MethodOptions {
        $0.factorRank = 16
        $0.alpha = 8
        $0.usesRankStabilization = true
      }, model.description)
    #expect(try configuration.factors(path: "encoder.block.0.layer.0.SelfAttention.q").scaling == 2)
  }

  @Test func impossibleNumbersAreRefused() throws {
    let bad: [(inout MethodOptions) -> Void] = [
      { $0.factorRank = 0 }, { $0.factorRank = -1 }, { $0.loraDropout = 1 }, { $0.loraDropout = -0.5 },
      { $0.rankPattern = ["q": 0] }, { $0.rankPattern = ["(": 4] },
    ]
    for change in bad { #expect(throws: MethodError.self) { try lora("t5_v10", change) } }
  }

  // MARK: modules_to_save

  /// T5 1.0's head is the embedding: a head trained as it is becomes a copy, and the embedding stays frozen.
  @Test func aTiedHeadIsTrainedAsACopy() throws {
    let (method, model) = try lora { $0.modulesToSave = ["lm_head"] }
    let head = try method.tensor("\(Self.prefix)lm_head.weight")
    #expect(method.substitutions.isEmpty && method.parameters.count == 25)
    #expect(head.hasSameBytes(as: model.description.wordEmbedding.value))
    #expect(head.pointer != model.description.wordEmbedding.value.pointer)
    let base = model.logits(FrozenBase()).values
    #expect(largestDifference(model.logits(method).values, base) <= 1e-5)
    for index in 0..<head.count { head.pointer[index] *= 2 }
    // Embeddings are the base's still, so the logits are twice as large.
    #expect(largestDifference(model.logits(method).values, base.map { 2 * $0 }) <= 2e-5)
    #expect(model.logits(FrozenBase()).values == base)
  }

  @Test func aHeadOfItsOwnIsReplaced() throws {
    let (method, model) = try lora("t5_v11") { $0.modulesToSave = ["lm_head"] }
    let substitution = try #require(method.substitutions.first)
    #expect(method.substitutions.count == 1 && substitution.base.name == "lm_head.weight")
    #expect(method.parameters[substitution.site].name == "\(Self.prefix)lm_head.weight")
    let base = model.logits(FrozenBase()).values
    let head = try method.tensor("\(Self.prefix)lm_head.weight")
    for index in 0..<head.count { head.pointer[index] *= 2 }
    #expect(largestDifference(model.logits(method).values, base.map { 2 * $0 }) <= 2e-5)
  }

  @Test func savedModulesAreNotAdapted() throws {
    let (method, _) = try lora("t5_v11") {
      $0.targetModules = .names(["wo", "lm_head"])
      $0.modulesToSave = ["lm_head", "decoder.final_layer_norm"]
    }
    let names = Set(method.parameters.map(\.name))
    #expect(names.count == 4 * 2 + 2)
    #expect(names.contains("\(Self.prefix)lm_head.weight"))
    #expect(names.contains("\(Self.prefix)decoder.final_layer_norm.weight"))
    #expect(!names.contains { $0.contains("lm_head.lora") || $0.contains("encoder.final") })
  }

  /// PEFT's copy of an embedding would not reach the modules that share its tensor.
  @Test(arguments: ["t5_v10", "t5_v11"]) func aSharedEmbeddingIsNotSavedAlone(name: String) throws {
    let error = try #require(throws: MethodError.self) { _ = try lora(name) { $0.modulesToSave = ["shared"] } }
    guard case .badOption("--modules-to-save", "shared", _) = error else {
      Issue.record("\(error)")
      return
    }
  }

  @Test func modulesToSaveThatAreNotThereAreAnError() throws {
    let error = try #require(throws: MethodError.self) { _ = try lora { $0.modulesToSave = ["classifier"] } }
    #expect(
      error == .nothingMatches(option: "--modules-to-save", value: "classifier", known: ["lm_head"]))
  }
}
