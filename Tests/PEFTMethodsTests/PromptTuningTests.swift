import Autograd
import Models
import NN
import TensorCore
import Testing

@testable import PEFTMethods

@Suite struct PromptTuningTests {
  private func prompt(
    _ initialization: PromptInitialization, rows: Int, seed: UInt64 = 42
  ) throws -> (prompt: Tensor, table: Tensor) {
    let model = try Golden.model()
    let options = MethodOptions {
      $0.virtualTokenCount = rows
      $0.promptInitialization = initialization
    }
    let method = try PromptTuning(options, model, seed: seed)
    #expect(method.parameters.count == 1 && method.virtualTokenCount == rows)
    let prompt = try method.tensor("prompt_encoder.embedding.weight")
    #expect(prompt.shape == [rows, 64])
    return (prompt, model.description.wordEmbedding.value)
  }

  private func row(_ tensor: Tensor, _ index: Int) -> [Float] { tensor.rows(index..<index + 1).values }

  @Test func randomIsStandardNormal() throws {
    let values = try prompt(.random, rows: 100).prompt.values
    let (mean, deviation) = moments(values)
    // 6400 values: four standard errors of mean and deviation.
    #expect(abs(mean) < 0.05 && abs(deviation - 1) < 0.036)
    // Shares of a normal distribution within one and two deviations.
    #expect(abs(Double(values.count { abs($0) < 1 }) / 6400 - 0.6827) < 0.025)
    #expect(abs(Double(values.count { abs($0) < 2 }) / 6400 - 0.9545) < 0.012)
    #expect(values.contains { abs($0) > 3 } && Set(values).count == 6400)
    #expect(try prompt(.random, rows: 100).prompt.values == values)
    #expect(try prompt(.random, rows: 100, seed: 43).prompt.values != values)
  }

  @Test func vocabularyRowsAreRowsOfTheTable() throws {
    let (prompt, table) = try prompt(.vocabulary, rows: 40)
    let rows = (0..<512).map { row(table, $0) }
    let ids = (0..<40).map { index in rows.firstIndex(of: row(prompt, index)) }
    #expect(!ids.contains(nil))
    // Drawn from the whole table: 40 of 512 without many repetitions, high and low ones.
    #expect(Set(ids).count > 30)
    #expect(ids.contains { ($0 ?? 0) > 400 } && ids.contains { ($0 ?? 512) < 100 })
    #expect(try self.prompt(.vocabulary, rows: 40, seed: 7).prompt.values != prompt.values)
  }

  @Test(arguments: [
    (7, [5, 9, 1, 5, 9, 1, 5]), (2, [5, 9]), (3, [5, 9, 1]),
  ])
  func textIsRepeatedOrCut(rows: Int, expected: [Int]) throws {
    let (prompt, table) = try prompt(.text(ids: [5, 9, 1], text: "any"), rows: rows)
    #expect((0..<rows).map { row(prompt, $0) } == expected.map { row(table, $0) })
  }

  @Test func labelsStartAsTheMeanOfTheirTokens() throws {
    let (prompt, table) = try prompt(.classLabels(ids: [[10, 11], [12], []]), rows: 5)
    #expect(row(prompt, 0) == zip(row(table, 10), row(table, 11)).map { ($0 + $1) / 2 })
    #expect(row(prompt, 1) == row(table, 12))
    let rows = Set((0..<512).map { row(table, $0) })
    for index in 2..<5 { #expect(rows.contains(row(prompt, index)), "row \(index)") }
  }

  @Test func fewerRowsThanLabels() throws {
    let (prompt, table) = try prompt(.classLabels(ids: [[10], [12], [14]]), rows: 2)
    #expect(row(prompt, 0) == row(table, 10) && row(prompt, 1) == row(table, 12))
  }

  @Test(arguments: [0, -3]) func aPromptOfNoTokensIsRefused(count: Int) throws {
    let model = try Golden.model()
    let error = try #require(throws: MethodError.self) {
      _ = try PromptTuning(MethodOptions { $0.virtualTokenCount = count }, model, seed: 1)
    }
    #expect(
      error == .badOption(option: "--virtual-tokens", value: "\(count)", expected: "a positive count"))
  }

  /// A prompt whose rows are embeddings of tokens acts as these tokens in front of the source.
  @Test func aPromptOfTokensActsAsTheTokens() throws {
    let model = try Golden.model()
    let options = MethodOptions {
      $0.virtualTokenCount = 3
      $0.promptInitialization = .text(ids: [30, 31, 32], text: "any")
    }
    let method = try PromptTuning(options, model, seed: 1)
    func logits(_ method: any PEFTMethod, _ source: [Int32]) -> [Float] {
      let tape = Tape(pool: BufferPool(), recordsGradients: false)
      let pass = method.pass(tape: tape, sites: method.parameters.map { Variable(constant: $0.value) })
      return model.logits(LeafBatch(sources: [source], labels: [[8, 1]], examples: [0]), pass).value.values
    }
    #expect(logits(method, [40, 41, 1]) == logits(FrozenBase(), [30, 31, 32, 40, 41, 1]))
    #expect(logits(method, [40, 41, 1]) != logits(FrozenBase(), [40, 41, 1]))
  }
}
