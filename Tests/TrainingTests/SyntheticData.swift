import Foundation
import NN
import Tasks
import Tokenization

/// Examples of known lengths: example k has 3 + k·7 mod 23 source ids and 1 + k·3 mod 5 target ids, the closing
/// one included.
enum SyntheticData {
  static func sourceLength(_ index: Int) -> Int { 3 + index * 7 % 23 }
  static func targetLength(_ index: Int) -> Int { 1 + index * 3 % 5 }

  static func dataset(count: Int) -> EncodedDataset {
    let examples = (0..<count).map { index in
      Example(
        index: index, id: "\(index)", source: text(sourceLength(index) - 1),
        target: text(targetLength(index) - 1))
    }
    return EncodedDataset(
      onDemand: examples, tokenizer: WordCounter(), encoding: ExampleEncoding(source: 64, target: 8))
  }

  private static func text(_ words: Int) -> String {
    Array(repeating: "w", count: words).joined(separator: " ")
  }
}

/// One id for each word, and the closing 1.
private struct WordCounter: Tokenizer {
  let identity = "word counter"
  let url = URL(fileURLWithPath: "words")
  let vocabularyCount = 100
  let padID: Int32 = 0
  let eosID: Int32 = 1
  let unknownID: Int32 = 2
  let maskID: Int32? = nil
  let specialIDs: Set<Int32> = []

  func tokens(of text: String) -> [Int32] { text.split(separator: " ").map { _ in 10 } }
  func assemble(_ first: [Int32], _ second: [Int32]?) -> AssembledTokens {
    AssembledTokens(ids: first + [1] + (second.map { $0 + [1] } ?? []))
  }
  func decode(_ ids: [Int32], skippingSpecialTokens: Bool) -> String { "" }
}
