import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// Decoding one token at a time over a key/value cache, against the teacher-forced pass over all of them.
@Suite struct CachedDecodingTests {
  private static let leaf = Examples.leaf([27, 3, 11, 8])

  /// Feeds each sequence its own labels; a sequence leaves the batch when they end. Returns the logits by sequence.
  private func decode(
    _ model: T5, _ method: any PEFTMethod, _ leaf: LeafBatch
  ) -> (logits: [[Float]], state: any DecodingState) {
    let pass = method.inferencePass()
    let length = leaf.labels.map(\.count).max() ?? 0
    let state = model.startDecoding(
      sources: leaf.sources, examples: leaf.examples, maxNewTokens: length, pass)
    var logits = [[Float]](repeating: [], count: leaf.sources.count)
    for position in 0..<length {
      let active = leaf.labels.indices.filter { leaf.labels[$0].count > position }
      let tokens = active.map { position == 0 ? state.startToken : leaf.labels[$0][position - 1] }
      let step = state.step(tokens: tokens, active: active, pass)
      for (row, sequence) in active.enumerated() { logits[sequence] += step.rows(row..<row + 1).values }
    }
    return (logits, state)
  }

  @Test(arguments: ["t5_v10", "t5_v11"], ["none", "prompt-tuning", "lora"])
  func stepsGiveTheLogitsOfTheWholePass(name: String, kind: String) throws {
    let model = try Golden.model(name)
    let method = try Golden.method(kind, model)
    let expected = model.logitsByExample(Self.leaf, method)
    #expect(Set(Self.leaf.labels.map(\.count)).count > 2, "sequences must end at different steps")
    for (sequence, logits) in decode(model, method, Self.leaf).logits.enumerated() {
      #expect(largestDifference(logits, expected[sequence]) <= 1e-4, "sequence \(sequence)")
    }
    // The method is at work: without it the logits are others.
    if kind != "none" {
      let plain = model.logitsByExample(Self.leaf, FrozenBase())
      #expect(largestDifference(plain[0], expected[0]) > 1e-2)
    }
  }

  @Test(arguments: ["none", "prompt-tuning", "lora"])
  func theLossFromTheSameEncoderRunIsTheLoss(kind: String) throws {
    let model = try Golden.t5()
    let method = try Golden.method(kind, model)
    let pass = method.inferencePass()
    let state = model.startDecoding(
      sources: Self.leaf.sources, examples: Self.leaf.examples, maxNewTokens: 1, pass)
    let loss = model.lossSum(Self.leaf, method.inferencePass(), gradientScale: 0)
    #expect(abs(state.lossSum(labels: Self.leaf.labels, pass) - loss) <= 1e-5 * Double(Self.leaf.targetCount))
  }

  /// A sequence decodes alike whether it is alone or the others are still going.
  @Test func companyMakesNoDifference() throws {
    let model = try Golden.t5v11()
    let method = try Golden.method("lora", model)
    let together = decode(model, method, Self.leaf).logits
    for (place, number) in [27, 3, 11, 8].enumerated() {
      let alone = decode(model, method, Examples.leaf([number])).logits[0]
      #expect(largestDifference(together[place], alone) <= 1e-5, "example \(number)")
    }
  }
}
