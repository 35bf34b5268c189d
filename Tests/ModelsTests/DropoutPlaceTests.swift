import Autograd
import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing

/// Training drops at each place by the rate of that place, and at no other.
@Suite struct DropoutPlaceTests {
  private static let none = DropoutRates(0)
  private static let places: [(String, DropoutRates)] = [
    ("hidden", DropoutRates(hidden: 0.5, embedding: 0, attention: 0, head: 0)),
    ("embedding", DropoutRates(hidden: 0, embedding: 0.5, attention: 0, head: 0)),
    ("attention", DropoutRates(hidden: 0, embedding: 0, attention: 0.5, head: 0)),
    ("head", DropoutRates(hidden: 0, embedding: 0, attention: 0, head: 0.5)),
  ]

  private static func loss(_ model: any LanguageModel, _ rates: DropoutRates, step: Int = 1) -> Double {
    let pass = ForwardPass(
      tape: Tape(pool: BufferPool()), dropout: DropoutPolicy(rates: rates, seed: 3, step: step))
    let isClassifier = model.description.kind == .classifier
    let batch = LeafBatch(
      sources: [[5, 9, 3, 17, 8, 11], [4, 20, 6]], labels: isClassifier ? [[1], [0]] : [[7, 4], [12, 3]],
      examples: [0, 1])
    return model.lossSum(batch, pass, gradientScale: 1)
  }

  @Test(arguments: [("bert", 4), ("roberta", 4), ("gpt2", 3)]) func eachPlaceHasItsOwnRate(name: String, count: Int)
    throws
  {
    let model = try ModelCatalogue.load(ModelFolder(InteropTests.root.appending(path: "bases/\(name)")))
    let plain = Self.loss(model, Self.none)
    var losses = Set([plain])
    for (place, rates) in Self.places {
      let loss = Self.loss(model, rates)
      losses.insert(loss)
      #expect(loss == Self.loss(model, rates), "\(place) is not the same twice")
    }
    // A decoder has no head that drops.
    #expect(losses.count == count + 1)
    #expect(Self.loss(model, DropoutRates(0.5)) != plain)
  }
}
