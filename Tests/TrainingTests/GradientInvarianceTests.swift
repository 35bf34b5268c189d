import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

@testable import Training

/// The gradient of a batch does not depend on how it is cut into leaves.
@Suite struct GradientInvarianceTests {
  private static let models = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Goldens/models", directoryHint: .isDirectory)

  private static func example(_ number: Int) -> (source: [Int32], target: [Int32]) {
    func ids(_ count: Int, _ salt: Int) -> [Int32] {
      (0..<count).map { Int32(2 + (number * 37 + $0 * $0 * 11 + $0 * 5 + salt) % 300) } + [1]
    }
    return (ids(4 + number * 7 % 19, 3), ids(1 + number * 5 % 6, 101))
  }

  private static func leaf(_ numbers: [Int]) -> LeafBatch {
    let members = numbers.map(example)
    return LeafBatch(
      sources: members.map(\.source), labels: members.map(\.target), examples: numbers.map { UInt32($0) })
  }

  private static func method(_ name: String, _ model: any LanguageModel) throws -> any PEFTMethod {
    var options = MethodOptions()
    options.virtualTokenCount = 3
    options.factorRank = 2
    options.alpha = 2
    let method = try MethodCatalogue.entry(named: name).make(options, model, 5)
    for parameter in method.parameters where parameter.name.hasSuffix("lora_B.weight") {
      for index in 0..<parameter.count { parameter.value.pointer[index] = Float(index * 29 % 17 - 8) / 200 }
    }
    return method
  }

  /// Sum over leaves of the gradient of the mean target loss of the whole batch, in Double.
  private func gradient(
    _ leaves: [[Int]], _ evaluator: LeafEvaluator, dropout: DropoutPolicy?
  ) -> (loss: Double, gradients: [[Double]]) {
    let batches = leaves.map(Self.leaf)
    let scale = Float(1 / Double(batches.reduce(0) { $0 + $1.targetCount }))
    let sites = evaluator.sites(pool: BufferPool())
    var sums = sites.map { [Double](repeating: 0, count: $0.count) }
    var loss = 0.0
    for batch in batches {
      let result = evaluator.gradients(
        batch, sites: sites, gradientScale: scale, dropout: dropout, pool: BufferPool())
      loss += result.lossSum
      for (site, gradient) in result.gradients.enumerated() {
        for (index, value) in (gradient?.values ?? []).enumerated() { sums[site][index] += Double(value) }
      }
    }
    return (loss, sums)
  }

  private static let numbers = [3, 11, 4, 27, 8, 1, 16, 22]
  private static let divisions: [[[Int]]] = [
    [[3, 11, 4, 27], [8, 1, 16, 22]], [[22, 3], [16, 11, 8], [1, 27, 4]], numbers.map { [$0] },
  ]

  @Test(
    arguments: [("t5_v10", "lora"), ("t5_v10", "prompt-tuning"), ("t5_v11", "lora"), ("t5_v10", "full")],
    [0, 0.2] as [Float])
  func oneLeafOrMany(subject: (model: String, method: String), dropoutRate: Float) throws {
    let model = try ModelCatalogue.load(ModelFolder(Self.models.appending(path: subject.model)))
    let evaluator = LeafEvaluator(model: model, method: try Self.method(subject.method, model))
    // Masks are keyed by example and position, so they too know nothing of leaves.
    let dropout = dropoutRate > 0 ? DropoutPolicy(rate: dropoutRate, seed: 9, step: 4) : nil
    let whole = gradient([Self.numbers], evaluator, dropout: dropout)
    let largest = whole.gradients.flatMap { $0 }.map(abs).max() ?? 0
    #expect(largest > 1e-3 && largest < 100)
    for division in Self.divisions {
      let parts = gradient(division, evaluator, dropout: dropout)
      #expect(abs(parts.loss - whole.loss) <= 1e-5 * Double(Self.leaf(Self.numbers).targetCount))
      for (site, (a, b)) in zip(parts.gradients, whole.gradients).enumerated() {
        let name = evaluator.method.parameters[site].name
        for (index, pair) in zip(a, b).enumerated() where !(abs(pair.0 - pair.1) <= 1e-6) {
          Issue.record("\(name)[\(index)], \(division.count) leaves: \(pair.0), in one leaf \(pair.1)")
          break
        }
      }
    }
  }

  /// Dropout is at work in the test above: other masks give another gradient.
  @Test func masksDependOnTheStep() throws {
    let model = try ModelCatalogue.load(ModelFolder(Self.models.appending(path: "t5_v10")))
    let evaluator = LeafEvaluator(model: model, method: try Self.method("lora", model))
    let gradients = [4, 5].map {
      gradient([Self.numbers], evaluator, dropout: DropoutPolicy(rate: 0.2, seed: 9, step: $0)).gradients
    }
    #expect(gradients[0] != gradients[1])
    #expect(gradient([Self.numbers], evaluator, dropout: nil).gradients != gradients[0])
  }
}
