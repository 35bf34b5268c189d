import Autograd
import NN
import TensorCore
import Testing

@testable import Training

/// The rules of generation against cases worked by hand; the vocabulary has eight tokens, 1 ends a sequence.
@Suite struct GreedyDecoderTests {
  private func options(_ change: (inout GenerationOptions) -> Void) -> GenerationOptions {
    var options = GenerationOptions(eosIDs: [1])
    change(&options)
    return options
  }

  private static let scores: [Float] = [0.5, 4, -2, 3, 0, -1, 2, 1]

  private func processed(_ options: GenerationOptions, _ sequence: [Int32], _ scores: [Float] = scores)
    -> [Float]
  {
    let row = Tensor(scores, shape: [1, scores.count])
    options.applyRules(to: row, sequence: sequence, promptCount: 1)
    return row.values
  }

  /// The ids whose score the rules have set to minus infinity.
  private func forbidden(_ options: GenerationOptions, _ sequence: [Int32]) -> [Int] {
    let scores = processed(options, sequence)
    for (index, score) in scores.enumerated() where score != -.infinity {
      #expect(score == Self.scores[index])
    }
    return scores.indices.filter { scores[$0] == -.infinity }
  }

  @Test func withoutRulesNothingChanges() {
    #expect(processed(options { _ in }, [0, 3, 3]) == Self.scores)
  }

  /// Positive scores are divided, negative ones multiplied, each token once however often it occurred.
  @Test func repetitionPenalty() {
    #expect(
      processed(options { $0.repetitionPenalty = 2 }, [0, 3, 3, 3, 2, 4]) == [0.25, 4, -4, 1.5, 0, -1, 2, 1])
    #expect(processed(options { $0.repetitionPenalty = 0.5 }, [0, 2]) == [1, 4, -1, 3, 0, -1, 2, 1])
  }

  @Test(
    arguments: [
      // Every token that has occurred.
      (1, [0, 3, 5, 3], [0, 3, 5]),
      // 3 has been followed by 5 and by 6.
      (2, [0, 3, 5, 3, 6, 3], [5, 6]), (2, [0, 3, 5, 4], []), (2, [0], []), (2, [3, 3], [3]),
      // 2, 4 has been followed by 7; by itself it is no repetition.
      (3, [2, 4, 7, 5, 2, 4], [7]), (3, [2, 4], []), (3, [2, 4, 4], []), (3, [4, 4, 4], [4]),
      // Runs of the same token.
      (4, [5, 5, 5, 5], [5]), (4, [5, 5, 5], []), (4, [0, 1, 2, 3, 4, 1, 2, 3], [4]),
    ] as [(Int, [Int32], [Int])])
  func noRepeatedNgrams(size: Int, sequence: [Int32], expected: [Int]) {
    #expect(forbidden(options { $0.noRepeatNgramSize = size }, sequence) == expected)
  }

  @Test(arguments: [
    // minLength counts the start token.
    (3, 0, 1, true), (3, 0, 2, true), (3, 0, 3, false), (1, 0, 1, false),
    // minNewTokens does not.
    (0, 2, 1, true), (0, 2, 2, true), (0, 2, 3, false), (0, 1, 2, false),
    // Either forbids.
    (3, 4, 4, true), (6, 1, 5, true), (6, 1, 6, false),
  ])
  func endOfSequenceTooEarly(minLength: Int, minNewTokens: Int, length: Int, isForbidden: Bool) {
    let options = options {
      $0.minLength = minLength
      $0.minNewTokens = minNewTokens
      $0.eosIDs = [1, 6]
    }
    let sequence = (0..<length).map { Int32($0) }
    #expect(forbidden(options, sequence) == (isForbidden ? [1, 6] : []))
  }

  /// The penalty comes first: a token it lifts may still be forbidden.
  @Test func rulesTogether() {
    let options = options {
      $0.repetitionPenalty = 2
      $0.noRepeatNgramSize = 2
      $0.minLength = 10
    }
    #expect(processed(options, [0, 3, 5, 3]) == [0.25, -.infinity, -2, 1.5, 0, -.infinity, 2, 1])
  }

  // MARK: The loop

  /// Answers by a table: after `position` tokens sequence s wants `table[s][position]`.
  private final class Table: DecodingState {
    func prompt(ofSource index: Int) -> [Int32] { [0] }
    let table: [[Int]]
    var fed: [[Int32]]
    var actives: [[Int]] = []

    init(_ table: [[Int]]) {
      self.table = table
      fed = table.map { _ in [] }
    }

    func step(tokens: [Int32], parents: [Int], _ pass: ForwardPass) -> Tensor {
      let active = actives.last.map { last in parents.map { last[$0] } } ?? parents
      actives.append(active)
      let logits = Tensor(zeros: [active.count, 8])
      for (row, sequence) in active.enumerated() {
        let wanted = table[sequence][fed[sequence].count]
        fed[sequence].append(tokens[row])
        logits.pointer[row * 8 + wanted] = 2
        // The runner-up, for when the first choice is forbidden.
        logits.pointer[row * 8 + (wanted == 7 ? 6 : 7)] = 1
      }
      return logits
    }

    func losses(labels: [[Int32]], _ pass: ForwardPass) -> [Double] { [] }
  }

  private func generate(_ table: [[Int]], _ change: (inout GenerationOptions) -> Void = { _ in }) -> (
    [[Int32]], Table
  ) {
    let state = Table(table)
    let pass = ForwardPass(tape: Tape(pool: BufferPool(), recordsGradients: false))
    let result = GreedyDecoder(options(change)).generate(state, prompts: table.map { _ in [0] }, pass)
    return (result, state)
  }

  @Test func sequencesEndOneByOne() {
    let (result, state) = generate([[4, 5, 1], [1], [3, 1]])
    #expect(result == [[0, 4, 5, 1], [0, 1], [0, 3, 1]])
    #expect(state.actives == [[0, 1, 2], [0, 2], [0]])
    // Each step feeds the token generated last, the start token first.
    #expect(state.fed == [[0, 4, 5], [0], [0, 3]])
  }

  @Test func theLimitCountsNewTokens() {
    let (result, _) = generate([[4, 5, 6, 4, 5], [3, 1]]) { $0.maxNewTokens = 3 }
    #expect(result == [[0, 4, 5, 6], [0, 3, 1]])
    #expect(generate([[4]]) { $0.maxNewTokens = 0 }.0 == [[0]])
  }

  @Test func anySecondEndCounts() {
    #expect(generate([[4, 6, 4]]) { $0.eosIDs = [1, 6] }.0 == [[0, 4, 6]])
  }

  @Test func aForbiddenChoiceGivesWayToTheNext() {
    #expect(generate([[1, 1, 1]]) { $0.minNewTokens = 2 }.0 == [[0, 7, 7, 1]])
    #expect(generate([[4, 4, 1]]) { $0.noRepeatNgramSize = 1 }.0 == [[0, 4, 7, 1]])
  }

  /// Equal scores: the lowest id wins.
  @Test func ties() {
    final class Flat: DecodingState {
      func prompt(ofSource index: Int) -> [Int32] { [0] }
      func step(tokens: [Int32], parents: [Int], _ pass: ForwardPass) -> Tensor {
        Tensor([0, 0, 5, 1, 5, 5, 0, 0], shape: [1, 8])
      }
      func losses(labels: [[Int32]], _ pass: ForwardPass) -> [Double] { [] }
    }
    let pass = ForwardPass(tape: Tape(pool: BufferPool(), recordsGradients: false))
    let decoder = GreedyDecoder(options { $0.maxNewTokens = 2 })
    #expect(decoder.generate(Flat(), prompts: [[0]], pass) == [[0, 2, 2]])
  }
}
