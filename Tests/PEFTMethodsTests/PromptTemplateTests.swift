import Autograd
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// Templates of virtual tokens and anchors.
@Suite struct PromptTemplateTests {
  private func ids(_ words: String) -> [Int32] { words.split(separator: " ").map { Int32($0.count) } }

  @Test func partsInOrder() throws {
    let template = try PromptTemplate("[P3] {text} [P2] same as [P2] ?", ids: ids)
    #expect(
      template.parts == [.virtual(3), .text, .virtual(2), .anchor(ids: [4, 2]), .virtual(2), .anchor(ids: [1])])
    #expect(template.virtualTokenCount == 7 && template.anchorIDs == [4, 2, 1])
    let pair = try PromptTemplate("[P3] {sentence1} [P2] same as {sentence2} ?", ids: ids)
    #expect(pair.parts == [.virtual(3), .first, .virtual(2), .anchor(ids: [4, 2]), .second, .anchor(ids: [1])])
    #expect(pair.isOfPair && !template.isOfPair)
    for text in [
      "[P3]", "{text}", "{text} [P1] {text}", "[P0] {text}", "", "[P1] {sentence1}", "[P1] {sentence2}",
      "[P1] {text} {sentence1} {sentence2}", "[P1] {sentence1} {sentence1}",
    ] {
      #expect(throws: MethodError.self) { try PromptTemplate(text, ids: ids) }
    }
  }

  /// Prompts that are copies of embeddings give what the words themselves give.
  @Test func tokensStandWhereTheTemplateSays() throws {
    let model = try Golden.model()
    let options = MethodOptions {
      $0.promptTemplate = try? PromptTemplate("[P1] go {text} [P2] now", ids: { $0.contains("go") ? [31, 8] : [77] })
      $0.encoderHiddenSize = 4
    }
    let method = try MethodRequest("p-tuning-template").make(options, model, seed: 1)
    let table = model.description.wordEmbedding.value
    let prompt = Tensor(zeros: [3, 64])
    for (row, id) in [40, 41, 42].enumerated() {
      prompt.rows(row..<row + 1).copyElements(from: table.rows(id..<id + 1))
    }
    func logits(_ method: any PEFTMethod, _ sites: [Tensor], _ sources: [[Int32]]) -> [Float] {
      let pass = method.pass(
        tape: Tape(pool: BufferPool(), recordsGradients: false), sites: sites.map { Variable(constant: $0) })
      let examples = sources.indices.map { UInt32($0) }
      return model.logits(
        LeafBatch(sources: sources, labels: sources.map { _ in [25, 1] }, examples: examples), pass
      ).value.values
    }
    let found = logits(method, [prompt], [[5, 6, 1], [9, 1]])
    let expected = logits(FrozenBase(), [], [[40, 31, 8, 5, 6, 41, 42, 77, 1], [40, 31, 8, 9, 41, 42, 77, 1]])
    #expect(found == expected)
  }

  /// On an encoder that tells the texts of a pair apart: `<s> A </s></s> B </s>` becomes `<s> v A v anchors B v </s>`.
  @Test func thePairStandsWhereTheTemplateSays() throws {
    let model = try Golden.anyModel("roberta")
    let options = MethodOptions {
      $0.promptTemplate = try? PromptTemplate("[P1] {sentence1} same as [P2] {sentence2} ?") {
        $0.contains("?") ? [77] : [31, 8]
      }
      $0.encoderHiddenSize = 4
    }
    let method = try MethodRequest("p-tuning-template").make(options, model, seed: 1)
    let table = model.description.wordEmbedding.value
    let prompt = Tensor(zeros: [3, 64])
    for (row, id) in [40, 41, 42].enumerated() {
      prompt.rows(row..<row + 1).copyElements(from: table.rows(id..<id + 1))
    }
    func logits(_ method: any PEFTMethod, _ sites: [Tensor], _ source: [Int32], second: Int) -> [Float] {
      let pass = method.pass(
        tape: Tape(pool: BufferPool(), recordsGradients: false), sites: sites.map { Variable(constant: $0) })
      let batch = LeafBatch(sources: [source], labels: [[1]], examples: [0], secondStarts: [second])
      return model.logits(batch, pass).value.values
    }
    let sites = [prompt] + (model.description.head?.parameters.map(\.value) ?? [])
    let found = logits(method, sites, [0, 5, 6, 2, 2, 9, 10, 11, 2], second: 5)
    let expected = logits(FrozenBase(), [], [0, 40, 5, 6, 31, 8, 41, 42, 9, 10, 11, 77, 2], second: 13)
    #expect(found == expected)
    // A single text has no second part.
    let alone = logits(method, sites, [0, 5, 6, 2], second: 4)
    #expect(alone == logits(FrozenBase(), [], [0, 40, 5, 6, 31, 8, 41, 42, 77, 2], second: 10))
  }
}
