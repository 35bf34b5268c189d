import Autograd
import Foundation
import NN
import TensorCore
import Testing

@testable import Training

/// Beam search against cases worked by hand; the vocabulary has four tokens, 1 ends a sequence. The golden table of
/// `ConformanceTests` has the many configurations.
@Suite struct BeamSearchTests {
  private func options(_ change: (inout GenerationOptions) -> Void = { _ in }) -> GenerationOptions {
    var options = GenerationOptions(eosIDs: [1])
    options.beamCount = 2
    options.returnCount = 2
    options.maxNewTokens = 3
    change(&options)
    return options
  }

  /// Runs a search whose log-probabilities depend on the last token alone.
  private func search(_ table: [Int32: [Float]], _ options: GenerationOptions) -> (BeamSearch, steps: Int) {
    var search = BeamSearch(prompt: [0], options: options)
    var steps = 0
    while !search.isOver {
      let rows = search.running.flatMap { table[$0.tokens.last ?? 0] ?? [] }
      search.advance(Tensor(rows, shape: [search.running.count, rows.count / search.running.count]))
      steps += 1
    }
    return (search, steps)
  }

  /// From 0 to 2 or 3; 2 ends likely, 3 goes on to 2 at little cost.
  private static let table: [Int32: [Float]] = [
    0: [-9, -8, -1, -2], 2: [-9, -0.5, -4, -3], 3: [-9, -6, -0.25, -5],
  ]

  @Test func hypothesesFinishWithTheirPenalisedScores() {
    let (found, steps) = search(Self.table, options { $0.lengthPenalty = 0 })
    // [0 2 1] has -1.5 after two tokens, [0 3 2 1] has -2.75 after three.
    #expect(found.results == [.init(tokens: [0, 2, 1], score: -1.5), .init(tokens: [0, 3, 2, 1], score: -2.75)])
    #expect(steps == 3)
  }

  @Test func theLengthPenaltyReorders() {
    let (found, _) = search(Self.table, options { $0.lengthPenalty = 2 })
    let (long, brief): (Float, Float) = (-2.75 / 9, -1.5 / 4)
    #expect(found.results.map(\.tokens) == [[0, 3, 2, 1], [0, 2, 1]])
    #expect(found.results.map(\.score) == [long, brief])
    let (short, _) = search(Self.table, options { $0.lengthPenalty = -1 })
    #expect(short.results.map(\.score) == [-3, -8.25])
  }

  /// What goes on after the first step: the best of those that do not end, with the beam they come from.
  @Test func runningHypothesesKnowTheirParents() {
    var search = BeamSearch(prompt: [0], options: options { $0.maxNewTokens = 9 })
    search.advance(Tensor([-9, -0.1, -1, -2] as [Float], shape: [1, 4]))
    #expect(search.running.map(\.tokens) == [[0, 2], [0, 3]] && search.running.map(\.score) == [-1, -2])
    // All that is best continues the second hypothesis.
    search.advance(Tensor([-9, -9, -9, -8, -0.5, -9, -0.25, -9] as [Float], shape: [2, 4]))
    #expect(search.running.map(\.tokens) == [[0, 3, 2], [0, 3, 0]] && search.running.map(\.parent) == [1, 1])
    #expect(search.results == [.init(tokens: [0, 1], score: -0.1)])
  }

  /// A hypothesis that ends in the second half of the candidates is not finished: better ones go on.
  @Test func onlyTheFirstHalfOfTheCandidatesMayFinish() {
    var search = BeamSearch(prompt: [0], options: options { $0.maxNewTokens = 9 })
    search.advance(Tensor([-4, -3, -1, -2] as [Float], shape: [1, 4]))
    #expect(search.results.isEmpty)
    #expect(search.running.map(\.tokens) == [[0, 2], [0, 3]])
  }

  @Test(arguments: [
    // Full after two steps; the running best, -1.25 over two tokens, might still beat the worst finished one.
    (GenerationOptions.EarlyStopping.whenFull, 2), (.whenHopeless, 3), (.never, 3),
  ])
  func whenItStops(stopping: GenerationOptions.EarlyStopping, steps: Int) {
    let found = search(
      [0: [-9, -2, -1, -9], 2: [-0.25, -2, -9, -9], 3: [-9, -9, -9, -9]],
      options {
        $0.earlyStopping = stopping
        $0.lengthPenalty = 0
      })
    #expect(found.steps == steps)
    #expect(found.0.results.first?.tokens == [0, 1])
  }

  @Test func noNumbersEndTheSearch() {
    var search = BeamSearch(prompt: [0], options: options())
    search.advance(Tensor([Float](repeating: .nan, count: 4), shape: [1, 4]))
    #expect(search.isOver && search.results.isEmpty)
  }

  // MARK: The decoder

  /// Log-probabilities that depend on the last token; notes what it was asked.
  private final class Chain: DecodingState {
    func prompt(ofSource index: Int) -> [Int32] { [0] }
    let table: [Int32: [Float]]
    var steps: [(tokens: [Int32], parents: [Int])] = []

    init(_ table: [Int32: [Float]]) { self.table = table }

    func step(tokens: [Int32], parents: [Int], _ pass: ForwardPass) -> Tensor {
      steps.append((tokens, parents))
      return Tensor(tokens.flatMap { table[$0] ?? [] }, shape: [tokens.count, 4])
    }

    func losses(labels: [[Int32]], _ pass: ForwardPass) -> [Double] { [] }
  }

  private var pass: ForwardPass { ForwardPass(tape: Tape(pool: BufferPool(), recordsGradients: false)) }

  /// One row for each source at first, then one for each hypothesis, each with the row it continues.
  @Test func theDecoderFeedsEveryHypothesis() {
    let chain = Chain(Self.table)
    let answers = SequenceGenerator(options { $0.returnCount = 1 }).generate(chain, examples: [0, 1], pass)
    #expect(answers.map { $0.map(\.tokens) } == [[[0, 2, 1]], [[0, 2, 1]]])
    #expect(chain.steps[0].tokens == [0, 0] && chain.steps[0].parents == [0, 1])
    #expect(chain.steps[1].tokens == [2, 3, 2, 3] && chain.steps[1].parents == [0, 0, 1, 1])
    #expect(chain.steps[2].parents.count == 4)
  }

  /// The rules act on log-probabilities: a forbidden end is no candidate, and scores stay those of the others.
  @Test func rulesActOnLogProbabilities() throws {
    let answers = SequenceGenerator(
      options {
        $0.minNewTokens = 2
        $0.lengthPenalty = 0
      }
    ).generate(Chain(Self.table), examples: [0], pass)
    #expect(answers[0].allSatisfy { $0.tokens.count == 4 })
    let best = try #require(answers[0].first)
    #expect(best.tokens == [0, 3, 2, 1])
    // log softmax of each row of the table, added up.
    let rows = [Self.table[0], Self.table[3], Self.table[2]].map { $0 ?? [] }
    let wanted = zip(rows, [3, 2, 1]).reduce(0.0) { sum, step in
      let row = Tensor(step.0, shape: [1, 4]).values.map(Double.init)
      return sum + row[step.1] - log(row.reduce(0) { $0 + exp($1) })
    }
    #expect(abs(Double(try #require(best.score)) - wanted) < 1e-5)
  }

  @Test(arguments: [
    (0, 1, []), (1, 1, [1]), (32, 1, [16, 16]), (150, 1, [37, 37, 37, 37, 2]), (300, 1, [64, 64, 64, 64, 44]),
  ])
  func leavesOfGreedyDecoding(count: Int, beams: Int, sizes: [Int]) {
    #expect(SequenceGenerator.leaves(count: count, beamCount: beams).map(\.count) == sizes)
  }

  @Test func leavesOfBeams() {
    #expect(SequenceGenerator.leaves(count: 32, beamCount: 4).map(\.count) == [8, 8, 8, 8])
    #expect(SequenceGenerator.leaves(count: 5_000, beamCount: 4).allSatisfy { $0.count <= 16 })
    #expect(SequenceGenerator.leaves(count: 3, beamCount: 200).map(\.count) == [1, 1, 1])
  }
}
