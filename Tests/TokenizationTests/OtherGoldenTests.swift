import Foundation
import Testing

@testable import Tokenization

/// Ids and texts of Hugging Face for the fixture vocabularies of GPT-2, RoBERTa and BERT.
@Suite struct OtherGoldenTests {
  struct Goldens: Decodable {
    struct Row: Decodable {
      let text: String
      let ids: [Int32]
      let decoded: String
      let decoded_skip_special: String
    }
    struct Pair: Decodable {
      let a: String
      let b: String
      let input_ids: [Int32]?
      let token_type_ids: [Int32]?
      let args: [String: Argument]
    }
    /// The arguments are compared by `Conformance`; here it only matters whether there are any.
    struct Argument: Decodable { init(from decoder: any Decoder) throws {} }
    let strings: [Row]
    let pairs: [Pair]?
  }

  private func compareRows(_ tokenizer: any Tokenizer, _ name: String, count: Int) throws {
    let rows = try Fixtures.read("\(name)_goldens.json", as: Goldens.self).strings
    #expect(rows.count == count)
    for row in rows {
      #expect(tokenizer.encode(row.text) == row.ids, "\(row.text.debugDescription)")
      // UTF-8 is compared: equal strings in Swift may differ in their code points.
      #expect(tokenizer.decode(row.ids, skippingSpecialTokens: false).utf8.elementsEqual(row.decoded.utf8))
      #expect(
        tokenizer.decode(row.ids, skippingSpecialTokens: true).utf8.elementsEqual(row.decoded_skip_special.utf8))
    }
  }

  @Test(arguments: [("gpt2", 300), ("roberta", 300), ("bert", 329)]) func everyRow(name: String, count: Int) throws {
    let folder = Fixtures.goldens.appendingPathComponent(name)
    try compareRows(TokenizerCatalogue.load(folder: folder, modelType: name), name, count: count)
  }

  /// The older files say the same as `tokenizer.json`.
  @Test(arguments: ["gpt2", "roberta"]) func everyRowFromTheOlderFiles(name: String) throws {
    let folder = Fixtures.goldens.appendingPathComponent(name)
    try Fixtures.withFolder(["vocab.json", "merges.txt", "tokenizer_config.json"], of: folder) {
      try compareRows(TokenizerCatalogue.load(folder: $0, modelType: name), name, count: 300)
    }
  }

  /// Both forms of merges in `tokenizer.json`: the fixture has pairs, older files have texts.
  @Test func mergesAsTexts() throws {
    let url = Fixtures.gpt2.appendingPathComponent("tokenizer.json")
    let pairs = try String(contentsOf: url, encoding: .utf8)
    let texts = try Self.joiningMerges(pairs)
    #expect(texts != pairs && texts.contains(#""h e""#))
    try Fixtures.withFolder([], of: Fixtures.gpt2, ["tokenizer.json": texts]) {
      try compareRows(TokenizerCatalogue.load(folder: $0, modelType: "gpt2"), "gpt2", count: 300)
    }
  }

  private static func joiningMerges(_ text: String) throws -> String {
    var file = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    var model = try #require(file["model"] as? [String: Any])
    model["merges"] = try #require(model["merges"] as? [[String]]).map { $0.joined(separator: " ") }
    file["model"] = model
    return String(decoding: try JSONSerialization.data(withJSONObject: file), as: UTF8.self)
  }

  @Test(arguments: ["roberta", "bert"]) func pairs(name: String) throws {
    let folder = Fixtures.goldens.appendingPathComponent(name)
    let tokenizer = try TokenizerCatalogue.load(folder: folder, modelType: name)
    let pairs = try #require(try Fixtures.read("\(name)_goldens.json", as: Goldens.self).pairs)
    let whole = pairs.filter { $0.args.isEmpty && !$0.b.isEmpty }
    #expect(whole.count >= 5)
    for pair in whole {
      let found = tokenizer.assemble(tokenizer.tokens(of: pair.a), tokenizer.tokens(of: pair.b))
      #expect(found.ids == pair.input_ids)
      if let types = pair.token_type_ids { #expect(found.secondStart == types.firstIndex(of: 1)) }
    }
    #expect(tokenizer.assemble([7], [8]).secondStart == (name == "bert" ? 3 : 4))
  }

  @Test(arguments: ["gpt2", "roberta", "bert"]) func manyThreadsGetTheSameIDs(name: String) async throws {
    let tokenizer = try TokenizerCatalogue.load(
      folder: Fixtures.goldens.appendingPathComponent(name), modelType: name)
    let rows = try Fixtures.read("\(name)_goldens.json", as: Goldens.self).strings
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 { group.addTask { rows.allSatisfy { tokenizer.encode($0.text) == $0.ids } } }
      for await agrees in group { #expect(agrees) }
    }
  }
}
