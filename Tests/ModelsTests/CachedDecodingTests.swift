import Autograd
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
    _ model: any GenerativeModel, _ method: any PEFTMethod, _ leaf: LeafBatch
  ) -> (logits: [[Float]], state: any DecodingState) {
    let pass = method.inferencePass()
    let length = leaf.labels.map(\.count).max() ?? 0
    let state = model.startDecoding(
      sources: leaf.sources, examples: leaf.examples, maxNewTokens: length, pass)
    var logits = [[Float]](repeating: [], count: leaf.sources.count)
    var active = Array(leaf.labels.indices)
    for position in 0..<length {
      let parents = active.indices.filter { leaf.labels[active[$0]].count > position }
      active = parents.map { active[$0] }
      let tokens = active.map { position == 0 ? state.prompt(ofSource: $0).last ?? 0 : leaf.labels[$0][position - 1] }
      let step = state.step(tokens: tokens, parents: parents, pass)
      for (row, sequence) in active.enumerated() { logits[sequence] += step.rows(row..<row + 1).values }
    }
    return (logits, state)
  }

  @Test(arguments: ["t5_v10", "t5_v11", "gpt2"], ["none", "prompt-tuning", "lora"])
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

  /// Rows that fork, change places and leave, with answers of many tokens (keys and values projected beforehand) and of few
  /// (absorbed): each row's logits are those of the whole pass over its own tokens.
  @Test(arguments: ["t5_v10", "t5_v11", "gpt2"], [("none", 6), ("none", 40), ("lora", 40), ("prefix-tuning", 6)])
  func rowsForkAndLeave(name: String, setting: (kind: String, capacity: Int)) throws {
    let (kind, capacity) = setting
    let model = try Golden.model(name)
    let method = try Golden.method(kind, model)
    let leaf = Self.leaf
    let pass = method.inferencePass()
    let state = model.startDecoding(
      sources: leaf.sources, examples: leaf.examples, maxNewTokens: capacity, beamCount: 3, pass)
    // Parents of each step by row; sources 0 and 1 fork, source 2 leaves, rows of source 3 swap.
    let steps = [[0, 1, 2, 3], [0, 0, 1, 2, 3, 3], [1, 0, 1, 2, 2, 5, 4], [2, 2, 0, 3, 6, 5]]
    var rows = leaf.sources.indices.map { (source: $0, tokens: [Int32]()) }
    for (number, parents) in steps.enumerated() {
      rows = parents.enumerated().map { row, parent in
        let token = number == 0 ? state.prompt(ofSource: row).last ?? 0 : Int32(2 + (row * 31 + number * 17) % 200)
        return (rows[parent].source, rows[parent].tokens + [token])
      }
      let logits = state.step(tokens: rows.compactMap(\.tokens.last), parents: parents, pass)
      for (row, entry) in rows.enumerated() {
        let (source, tokens) = entry
        // Labels shifted right are the tokens fed; the last label is any.
        let whole = model.logits(
          LeafBatch(
            sources: [leaf.sources[source]], labels: [Array(tokens.dropFirst()) + [1]],
            examples: [leaf.examples[source]]), method.inferencePass()
        ).value
        let expected = whole.rows(whole.rows - 1..<whole.rows).values
        #expect(largestDifference(logits.rows(row..<row + 1).values, expected) <= 1e-4, "step \(number) row \(row)")
      }
    }
  }

  /// Panels change the speed and not a bit; a trained copy of a weight is never read from panels.
  @Test(arguments: ["t5_v10", "gpt2"], ["none", "lora", "full"])
  func panelsGiveTheSameLogits(name: String, kind: String) throws {
    let model = try Golden.model(name)
    let method = kind == "full" ? FullFineTuning(model) : try Golden.method(kind, model)
    for parameter in method.parameters
    where kind == "full" && parameter.name.hasSuffix(name == "gpt2" ? "c_proj.weight" : "wo.weight") {
      for index in 0..<parameter.count { parameter.value.pointer[index] *= 1.5 }
    }
    func logits(_ weights: FrozenWeights) -> [Float] {
      let tape = Tape(pool: BufferPool(), recordsGradients: false)
      let pass = method.pass(
        tape: tape, sites: method.parameters.map { Variable(constant: $0.value) }, weights: weights)
      let state = model.startDecoding(
        sources: Self.leaf.sources, examples: Self.leaf.examples, maxNewTokens: 2, pass)
      return state.step(
        tokens: Self.leaf.sources.indices.compactMap { state.prompt(ofSource: $0).last }, parents: [0, 1, 2, 3], pass
      ).values
    }
    let panels = try PanelWeights(model.description.linears, precision: .fp32)
    #expect(logits(.panels(panels)).map(\.bitPattern) == logits(.plain).map(\.bitPattern))
  }

  @Test(arguments: ["t5_v10", "gpt2"], ["none", "prompt-tuning", "lora", "prefix-tuning"])
  func theLossFromTheSameReadingIsTheLoss(name: String, kind: String) throws {
    let model = try Golden.model(name)
    let method = try Golden.method(kind, model)
    let pass = method.inferencePass()
    let state = model.startDecoding(
      sources: Self.leaf.sources, examples: Self.leaf.examples, maxNewTokens: 1, pass)
    let loss = model.lossSum(Self.leaf, method.inferencePass(), gradientScale: 0)
    #expect(
      abs(state.losses(labels: Self.leaf.labels, pass).reduce(0, +) - loss) <= 1e-5 * Double(Self.leaf.targetCount))
    // The first step goes on from the same cache as without the loss.
    let tokens = Self.leaf.sources.indices.compactMap { state.prompt(ofSource: $0).last }
    let fresh = model.startDecoding(
      sources: Self.leaf.sources, examples: Self.leaf.examples, maxNewTokens: 1, method.inferencePass())
    let parents = Array(Self.leaf.sources.indices)
    #expect(
      largestDifference(
        state.step(tokens: tokens, parents: parents, pass).values,
        fresh.step(tokens: tokens, parents: parents, method.inferencePass()).values) <= 1e-5)
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
