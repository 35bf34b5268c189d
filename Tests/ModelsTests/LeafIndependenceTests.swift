import Autograd
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// A leaf is packed end to end: no bit of one sequence depends on the others.
@Suite struct LeafIndependenceTests {
  private static let numbers = [3, 11, 4, 27, 8, 1]

  /// With one whose answer is so long that its cross-attention is computed in the other order.
  private static func leaf(_ numbers: [Int]) -> LeafBatch {
    let leaf = Examples.leaf(numbers)
    let labels = zip(numbers, leaf.labels).map { number, labels in
      number == 27 ? (0..<4).flatMap { _ in labels.dropLast() } + labels : labels
    }
    return LeafBatch(sources: leaf.sources, labels: labels, examples: leaf.examples)
  }

  /// Losses are sums over targets, so their rounding grows with the number of them.
  private static func tolerance(_ leaf: LeafBatch) -> Double { 1e-5 * Double(leaf.targetCount) }

  @Test(arguments: ["t5_v10", "t5_v11", "gpt2"], ["none", "prompt-tuning", "lora"])
  func anExampleKnowsNothingOfItsNeighbours(name: String, kind: String) throws {
    let model = try Golden.model(name)
    let method = try Golden.method(kind, model)
    let together = model.logitsByExample(Self.leaf(Self.numbers), method)
    let losses = model.losses(Self.leaf(Self.numbers), method.inferencePass(), gradientScale: 0)
    for (place, number) in Self.numbers.enumerated() {
      let leaf = Self.leaf([number])
      let alone = model.logitsByExample(leaf, method)
      #expect(alone[0].count == leaf.targetCount * model.description.vocabularySize)
      #expect(together[place].map(\.bitPattern) == alone[0].map(\.bitPattern), "example \(number)")
      #expect(model.losses(leaf, method.inferencePass(), gradientScale: 0) == [losses[place]], "example \(number)")
    }
    #expect(Self.leaf([27]).targetCount >= 16, "no answer is long")
  }

  /// What flows back into the rows of an example: read from the rows of a trained embedding whose tokens it alone has.
  @Test(arguments: ["t5_v11", "roberta"]) func theGradientOfAnExampleKnowsNothingOfItsNeighbours(name: String) throws {
    let model: any LanguageModel = name == "roberta" ? try Golden.roberta() : try Golden.model(name)
    let method = FullFineTuning(model)
    let site = try #require(
      method.parameters.firstIndex { $0.name == "shared.weight" || $0.name.hasSuffix("word_embeddings.weight") })
    func gradient(_ leaf: LeafBatch) throws -> Tensor {
      let labels = name == "roberta" ? leaf.labels.map { [$0[0] % 2] } : leaf.labels
      let tape = Tape(pool: BufferPool())
      let sites = method.parameters.map { tape.variable($0.value) }
      _ = model.losses(
        LeafBatch(sources: leaf.sources, labels: labels, examples: leaf.examples),
        method.pass(tape: tape, sites: sites),
        gradientScale: 0.3)
      tape.backward()
      return try #require(sites[site].gradient)
    }
    let whole = Self.leaf(Self.numbers)
    let together = try gradient(whole)
    var compared = 0
    for (place, number) in Self.numbers.enumerated() {
      let alone = try gradient(Self.leaf([number]))
      let others = whole.sources.indices.filter { $0 != place }
        .reduce(into: Set<Int32>()) {
          $0.formUnion(whole.sources[$1]); $0.formUnion(whole.labels[$1])
        }
      for token in Set(whole.sources[place]).subtracting(others) {
        let (row, expected) = (together.rows(Int(token)..<Int(token) + 1), alone.rows(Int(token)..<Int(token) + 1))
        #expect(row.hasSameBytes(as: expected), "token \(token) of example \(number)")
        #expect(expected.values.contains { $0 != 0 })
        compared += 1
      }
    }
    #expect(compared > 20)
  }

  @Test(arguments: ["t5_v10", "t5_v11", "gpt2"], ["none", "prompt-tuning", "lora"])
  func theOrderWithinALeafIsWithoutMeaning(name: String, kind: String) throws {
    let model = try Golden.model(name)
    let method = try Golden.method(kind, model)
    let order = [4, 0, 5, 2, 1, 3]
    let before = model.logitsByExample(Self.leaf(Self.numbers), method)
    let after = model.logitsByExample(Self.leaf(order.map { Self.numbers[$0] }), method)
    for (place, source) in order.enumerated() {
      #expect(after[place].map(\.bitPattern) == before[source].map(\.bitPattern), "example \(Self.numbers[source])")
    }
    // Distinct examples have distinct logits: the comparison above cannot pass by accident.
    #expect(largestDifference(before[1], after[1]) > 1e-2)
  }

  @Test(arguments: ["t5_v10", "t5_v11", "gpt2"])
  func theLossOfALeafIsTheSumOfItsExamples(name: String) throws {
    let model = try Golden.model(name)
    let method = FrozenBase()
    func loss(_ numbers: [Int]) -> Double {
      model.lossSum(Examples.leaf(numbers), method.inferencePass(), gradientScale: 0)
    }
    let leaf = Examples.leaf(Self.numbers)
    let whole = loss(Self.numbers)
    #expect(whole > Double(leaf.targetCount))
    #expect(abs(Self.numbers.reduce(0) { $0 + loss([$1]) } - whole) <= Self.tolerance(leaf))
    #expect(abs(loss(Self.numbers.reversed()) - whole) <= Self.tolerance(leaf))
  }

  /// The fused loss against a plain softmax in Double over the logits.
  @Test(arguments: ["t5_v10", "t5_v11", "gpt2"])
  func theLossIsThatOfTheLogits(name: String) throws {
    let model = try Golden.model(name)
    let leaf = Examples.leaf(Self.numbers)
    let logits = model.logits(leaf, FrozenBase().inferencePass()).value
    var expected = 0.0
    for (row, label) in leaf.labels.flatMap({ $0 }).enumerated() {
      let scores = logits.rows(row..<row + 1).values.map(Double.init)
      expected += scores.logSumExp - scores[Int(label)]
    }
    let loss = model.lossSum(leaf, FrozenBase().inferencePass(), gradientScale: 0)
    #expect(abs(loss - expected) <= Self.tolerance(leaf))
  }

  @Test(arguments: ["none", "prompt-tuning", "lora", "prefix-tuning"])
  func aClassifiedExampleKnowsNothingOfItsNeighbours(kind: String) throws {
    let model = try Golden.roberta()
    let method = try Golden.method(kind, model)
    let leaf = Examples.leaf(Self.numbers)
    func scores(_ sources: [[Int32]]) -> [Float] {
      let leaf = LeafBatch(
        sources: sources, labels: sources.map { _ in [1] }, examples: sources.indices.map { UInt32($0) })
      return model.logits(leaf, method.inferencePass()).value.values
    }
    let together = scores(leaf.sources)
    #expect(together.count == 2 * Self.numbers.count)
    for (place, source) in leaf.sources.enumerated() {
      #expect(together[2 * place..<2 * place + 2].map(\.bitPattern) == scores([source]).map(\.bitPattern))
    }
    #expect(largestDifference(Array(together[0..<2]), Array(together[2..<4])) > 1e-3)
  }

  /// Positions marked as no target add nothing; what stands there still is the next position's input.
  @Test func ignoredLabelsAddNothing() throws {
    let model = try Golden.t5()
    let example = Examples.example(27)
    func loss(_ labels: [Int32]) -> Double {
      model.lossSum(
        LeafBatch(sources: [example.source], labels: [labels], examples: [27]), FrozenBase().inferencePass(),
        gradientScale: 0)
    }
    let ignored = example.target + [ignoredLabel, ignoredLabel]
    #expect(abs(loss(ignored) - loss(example.target)) <= 1e-5 * Double(ignored.count))
    #expect(loss([ignoredLabel, ignoredLabel]) == 0)
  }
}

extension [Double] {
  /// `log Σ exp`, shifted by the largest value.
  fileprivate var logSumExp: Double {
    let top = self.max() ?? 0
    return top + log(reduce(0) { $0 + exp($1 - top) })
  }
}
