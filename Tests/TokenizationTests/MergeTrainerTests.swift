import Foundation
import Testing

@testable import Tokenization

/// Vocabularies of byte-level BPE, against those that the trainer of tokenizers makes of the same texts.
@Suite struct MergeTrainerTests {
  private struct Reference: Decodable {
    struct Case: Decodable {
      let vocab_size: Int
      let special_tokens: [String]
      let pieces: [String]
      let merges: [[String]]
    }
    let texts: [String]
    let cases: [Case]
  }

  private static let reference = Result {
    let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Goldens/bpe_training/reference.json")
    return try JSONDecoder().decode(Reference.self, from: Data(contentsOf: url))
  }

  @Test(arguments: [0, 1]) func asTheReference(number: Int) throws {
    let reference = try Self.reference.get()
    let expected = reference.cases[number]
    let trainer = MergeTrainer(vocabularySize: expected.vocab_size, firstTokens: expected.special_tokens)
    let found = try trainer.train(reference.texts)
    #expect(found.merges == expected.merges)
    #expect(found.pieces == expected.pieces)
    #expect(try trainer.train(reference.texts.reversed()) == found)
  }

  @Test func textsThatDoNotSuffice() {
    func reason(_ texts: [String]) -> String? {
      let trainer = MergeTrainer(vocabularySize: 300, firstTokens: ["<|endoftext|>"])
      return #expect(throws: TokenizationError.self) { try trainer.train(texts) }?.description
    }
    #expect(reason(["", ""])?.contains("no text") == true)
    #expect(reason(["ab ab"])?.contains("no more pairs to join after 259 pieces") == true)
  }
}
