import Autograd
import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing
import Tokenization

@testable import Training

/// Sampling: that draws follow the filtered distribution and depend on seed, example, sequence and position alone. What the
/// filters leave is compared with the reference in `ConformanceTests`.
@Suite struct SamplingTests {
  private func sampling(_ change: (inout SamplingOptions) -> Void = { _ in }) -> SamplingOptions {
    var sampling = SamplingOptions(seed: 11)
    sampling.topK = 0
    change(&sampling)
    return sampling
  }

  private func decoder(_ sampling: SamplingOptions) -> SamplingDecoder {
    SamplingDecoder(options: GenerationOptions(eosIDs: [1]), sampling: sampling)
  }

  private static let scores: [Float] = [0.5, 2, -2, 1.5, 0, -1, 1, -.infinity]

  /// Pearson's statistic of 20,000 draws against the expected shares.
  private func chiSquare(_ draws: [Int32], _ shares: [Double]) -> Double {
    var counts = [Int](repeating: 0, count: shares.count)
    for token in draws { counts[Int(token)] += 1 }
    return zip(counts, shares).reduce(0) { sum, cell in
      let expected = cell.1 * Double(draws.count)
      if expected == 0 { return sum + (cell.0 == 0 ? 0 : .infinity) }
      return sum + (Double(cell.0) - expected) * (Double(cell.0) - expected) / expected
    }
  }

  /// Whichever of the three numbers counts up, draws follow the softmax of what the filters leave.
  @Test(arguments: ["example", "sequence", "position"])
  func drawsFollowTheDistribution(counting: String) {
    for change: (inout SamplingOptions) -> Void in [
      { _ in }, { $0.temperature = 0.5 }, { $0.topK = 3 }, { $0.topP = 0.8 }, { $0.minP = 0.2 },
    ] {
      let options = sampling(change)
      let scores = Tensor(Self.scores, shape: [1, 8])
      options.filter(scores)
      let shares = SamplingDistribution.of(scores)
      let draws = (0..<20_000).map { number in
        decoder(options).draw(
          from: scores, example: counting == "example" ? UInt32(number) : 3,
          sequence: counting == "sequence" ? number : 0, position: counting == "position" ? number : 0)
      }
      // Of 6 degrees of freedom or fewer, 22.5 is exceeded once in a thousand draws of 20,000.
      #expect(chiSquare(draws, shares) < 22.5, "\(options)")
    }
  }

  /// The statistic notices a distribution that is a little off.
  @Test func theStatisticNoticesAWrongDistribution() {
    let scores = Tensor(Self.scores, shape: [1, 8])
    let draws = (0..<20_000).map {
      decoder(sampling()).draw(from: scores, example: UInt32($0), sequence: 0, position: 0)
    }
    let warmer = Tensor(Self.scores.map { $0 / 1.1 }, shape: [1, 8])
    #expect(chiSquare(draws, SamplingDistribution.of(warmer)) > 22.5)
  }

  @Test func filtersByHand() {
    func left(_ change: (inout SamplingOptions) -> Void, _ scores: [Float] = Self.scores) -> [Int] {
      let row = Tensor(scores, shape: [1, scores.count])
      sampling(change).filter(row)
      return row.values.indices.filter { row.values[$0] > -.infinity }
    }
    #expect(left { _ in } == [0, 1, 2, 3, 4, 5, 6])
    #expect(left { $0.topK = 2 } == [1, 3])
    // Ties of the last one stay; more than there are is all.
    #expect(left({ $0.topK = 1 }, [1, 2, 2]) == [1, 2])
    #expect(left({ $0.topK = 9 }, [1, 2, 2]) == [0, 1, 2])
    // Shares 0.1, 0.2, 0.3, 0.4: up to 0.25 may be dropped.
    let shares: [Float] = [0.1, 0.2, 0.3, 0.4].map { log($0) }
    #expect(left({ $0.topP = 0.75 }, shares) == [1, 2, 3])
    #expect(left({ $0.topP = 0.65 }, shares) == [2, 3])
    #expect(left({ $0.topP = 0.01 }, shares) == [3])
    #expect(
      left(
        {
          $0.topP = 0.01
          $0.leastKept = 2
        }, shares) == [2, 3])
    // One token has nearly all: the others that must be kept are the best of the rest, of equal ones the last.
    let steep: [Float] = [-20, -21, 9, -20, -22]
    #expect(left({ $0.topP = 0.9 }, steep) == [2])
    #expect(
      left(
        {
          $0.topP = 0.9
          $0.leastKept = 2
        }, steep) == [2, 3])
    #expect(left({ $0.minP = 0.6 }, shares) == [2, 3])
    #expect(left({ $0.minP = 1 }, [1, 2, 2]) == [1, 2])
  }

  @Test func nothingToDrawFrom() {
    let decoder = decoder(sampling())
    for scores: [Float] in [[.nan, .nan], [-.infinity, -.infinity]] {
      #expect(decoder.draw(from: Tensor(scores, shape: [1, 2]), example: 0, sequence: 0, position: 0) == 0)
    }
  }

  // MARK: On a model

  private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Goldens/models/t5_v10", directoryHint: .isDirectory)
  private static let sources: [[Int32]] = [[5, 9, 30, 1], [17, 4, 4, 80, 2, 1], [300, 1], [41, 42, 43, 44, 45, 1]]

  private func samples(
    of examples: [Int], _ model: T5, seed: UInt64 = 11, count: Int = 3
  ) -> [[[Int32]]] {
    var options = GenerationOptions(eosIDs: [1])
    options.maxNewTokens = 12
    options.returnCount = count
    options.sampling = SamplingOptions(seed: seed)
    let evaluator = LeafEvaluator(model: model, method: FrozenBase())
    MatrixBackend.prepareThread()
    let pass = evaluator.inferencePass(sites: [], pool: BufferPool())
    return SequenceGenerator(options).generate(
      sources: examples.map { Self.sources[$0] }, examples: examples.map { UInt32($0) }, model: model, pass
    ).map { $0.map(\.tokens) }
  }

  /// An example draws the same text in whatever leaf it is, and other text with another seed.
  @Test func leavesDoNotMatter() throws {
    let model = try T5(ModelFolder(Self.folder))
    let together = samples(of: [0, 1, 2, 3], model)
    #expect([3, 1].flatMap { samples(of: [$0], model) } == [together[3], together[1]])
    #expect(samples(of: [2, 3], model) == Array(together[2...]))
    #expect(samples(of: [0, 1, 2, 3], model) == together)
    #expect(samples(of: [0, 1, 2, 3], model, seed: 12) != together)
    // The first samples are the same, however many are asked for.
    #expect(samples(of: [0, 1, 2, 3], model, count: 1).flatMap(\.self) == together.map { $0[0] })
  }

  @Test func samplesDiffer() throws {
    let together = samples(of: [0, 1, 2, 3], try T5(ModelFolder(Self.folder)))
    for samples in together { #expect(Set(samples).count == samples.count) }
  }
}
