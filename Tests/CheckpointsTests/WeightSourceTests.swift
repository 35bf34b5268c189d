import Checkpoints
import Foundation
import TensorCore
import Testing

@Suite("Weight scopes")
struct WeightSourceTests {
  private let weights = WeightSource(
    tensors: [
      "shared.weight": Tensor([Float](arrayLiteral: 1, 2, 3, 4, 5, 6), shape: [3, 2]),
      "encoder.block.0.q.weight": Tensor([Float](arrayLiteral: 7, 8), shape: [1, 2]),
      "encoder.embed_tokens.weight": Tensor([Float](arrayLiteral: 1, 2, 3, 4, 5, 6), shape: [3, 2]),
      "h.0.attn.bias": Tensor([Float(1)], shape: [1]),
      "h.0.attn.c_attn.bias": Tensor([Float(2)], shape: [1]),
    ], origin: "models/tiny")

  /// Uses everything but the duplicate and the two of `h`.
  private func useTheRest() {
    _ = weights.tensor("shared.weight", [3, 2])
    _ = weights.scope("encoder").scope("block.0").tensor("q.weight", [1, 2])
  }

  @Test func scopesJoinNames() throws {
    let block = weights.scope("encoder").scope("block.0")
    #expect(block.path == "encoder.block.0")
    #expect(block.name("q.weight") == "encoder.block.0.q.weight")
    #expect(block.contains("q.weight") && !block.contains("k.weight"))
    #expect(block.shape("q.weight") == [1, 2])
    #expect(block.tensor("q.weight", [1, 2]).values == [7, 8])
    #expect(weights.scope().tensor("shared.weight", [3, 2]).values == [1, 2, 3, 4, 5, 6])
    #expect(block.optionalTensor("k.weight", [1, 2]) == nil)
  }

  @Test func everythingWrongIsListedAtOnce() throws {
    useTheRest()
    let encoder = weights.scope("encoder")
    #expect(encoder.tensor("final_layer_norm.weight", [2]).values == [0, 0])
    #expect(encoder.tensor("block.0.k.weight", [2, 2]).shape == [2, 2])
    #expect(weights.scope("h.0.attn").tensor("bias", [2, 2]).values == [0, 0, 0, 0])
    _ = weights.optionalTensor("encoder.embed_tokens.weight", [2, 3])
    let expected = """
      the weights of models/tiny do not fit the model its config.json describes
        missing (2):
          encoder.final_layer_norm.weight
          encoder.block.0.k.weight
        of another shape or type (2):
          h.0.attn.bias: expected [2, 2], found [1] of F32
          encoder.embed_tokens.weight: expected [2, 3], found [3, 2] of F32
        not part of the model (1):
          h.0.attn.c_attn.bias
      """
    #expect("\(try checkpointError { try weights.finish() })" == expected)
  }

  @Test func toleratedNames() throws {
    useTheRest()
    let patterns = ["encoder.embed_tokens.weight", "*.attn.bias"]
    let error = try checkpointError { try weights.finish(tolerated: patterns) }
    guard case .unfitWeights(_, let problems) = error else {
      Issue.record("another error: \(error)")
      return
    }
    #expect(problems.surplus == ["h.0.attn.c_attn.bias"])
    #expect(throws: Never.self) { try weights.finish(tolerated: patterns + ["h.*"]) }
    #expect(throws: CheckpointError.self) { try weights.finish(tolerated: patterns + ["h.0.attn.c_attn"]) }
    weights.scope("h.0").ignore("attn.c_attn.bias")
    #expect(throws: Never.self) { try weights.finish(tolerated: patterns) }
  }

  @Test func aliasesStandInAndCountAsUsed() throws {
    let alias = "encoder.embed_tokens.weight"
    let tolerated = ["h.*", "encoder.block.*"]
    #expect(weights.tensor("shared.weight", [3, 2], aliases: [alias]).count == 6)
    #expect(throws: Never.self) { try weights.finish(tolerated: tolerated) }
    #expect(weights.tensor("embedding", [3, 2], aliases: ["absent", alias]).values == [1, 2, 3, 4, 5, 6])
    #expect(throws: Never.self) { try weights.finish(tolerated: tolerated) }
    _ = weights.tensor("embedding", [3, 2], aliases: ["absent"])
    #expect(
      "\(try checkpointError { try weights.finish(tolerated: tolerated) })".contains("embedding or absent"))
  }

  /// A configuration may ask for more than any machine has; the answer is an error, not the end of the process.
  @Test(arguments: [[1 << 22, 1 << 22], [Int.max, 4], [1 << 62], [1 << 40, 1 << 20, 0]])
  func absurdShapesAreMissingWeights(_ shape: [Int]) throws {
    let tensor = weights.tensor("absurd", shape)
    #expect(tensor.shape.count == shape.count)
    #expect(tensor.count == 0 || tensor.pointer[tensor.count - 1] == 0)
    #expect("\(try checkpointError { try weights.finish() })".contains("missing (1):\n    absurd"))
  }

  @Test func integersWhereNumbersAreNeeded() throws {
    try withTemporaryFolder { folder in
      try "{}".write("config.json", in: folder)
      let ids = SafetensorsWriter.Integers("w", shape: [2], values: [1, 2])
      try SafetensorsWriter.write(
        tensors: [], integers: [ids], to: folder.appendingPathComponent("model.safetensors"))
      let weights = try ModelFolder(folder).weights()
      #expect(weights.tensor("w", [2]).values == [0, 0])
      let message = "\(try checkpointError { try weights.finish() })"
      #expect(message.contains("w: expected [2] of floating-point numbers, found [2] of I64"))
    }
  }
}
