import Foundation
import Testing

@testable import Tokenization

@Suite struct ByteLevelTokenizerTests {
  private func gpt2() throws -> ByteLevelTokenizer { try ByteLevelTokenizer(folder: Fixtures.gpt2, family: .gpt2) }
  private func roberta() throws -> ByteLevelTokenizer {
    try ByteLevelTokenizer(folder: Fixtures.roberta, family: .roberta)
  }

  /// A folder with the older files of GPT-2 and others in place of its `tokenizer_config.json`.
  private func withGPT2<Result>(_ files: [String: String], _ body: (any Tokenizer) throws -> Result) throws -> Result {
    try Fixtures.withFolder(["vocab.json", "merges.txt"], of: Fixtures.gpt2, files) {
      try body(TokenizerCatalogue.load(folder: $0, modelType: "gpt2"))
    }
  }

  @Test func specialIDs() throws {
    let (gpt2, roberta) = (try gpt2(), try roberta())
    #expect([gpt2.padID, gpt2.eosID, gpt2.unknownID] == [999, 999, 999] && gpt2.vocabularyCount == 1000)
    #expect([roberta.padID, roberta.eosID, roberta.unknownID] == [1, 2, 3] && roberta.vocabularyCount == 1001)
    #expect(gpt2.specialTokenCount(isPair: false) == 0 && gpt2.specialTokenCount(isPair: true) == 0)
    #expect(roberta.specialTokenCount(isPair: false) == 2 && roberta.specialTokenCount(isPair: true) == 4)
    #expect(gpt2.assemble([5, 6], [7]) == AssembledTokens(ids: [5, 6, 7], secondStart: 2))
    for rows in [1000, 1024, 2000] { try gpt2.validate(modelVocabularySize: rows) }
    for rows in [999, 2001] {
      #expect(throws: TokenizationError.self) { try gpt2.validate(modelVocabularySize: rows) }
    }
  }

  /// Expected ids and texts from transformers 5.23.
  @Test func flagsOfAddedTokens() throws {
    func token(_ content: String, _ flags: String) -> String {
      let all = ["lstrip", "rstrip", "normalized", "single_word", "special"].map { "\"\($0)\": \(flags.contains($0))" }
      return "{\"content\": \"\(content)\", \(all.joined(separator: ", "))}"
    }
    let added = [
      ("999", token("<|endoftext|>", "special")), ("1000", token("<left>", "lstrip")),
      ("1001", token("<right>", "rstrip")), ("1002", token("the", "single_word")),
      ("1003", token("<n>", "normalized")), ("1004", token("<left><right>", "")),
      ("1005", token("two words", "lstrip rstrip special")),
    ].map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ")
    let rows: [(String, [Int32], String, String)] = [
      (
        "a <left> b <right> c", [64, 1000, 276, 220, 1001, 66], "a<left> b <right>c", "a<left> b <right>c"
      ),
      (
        "the other the_ (the) \u{e9}the", [1002, 262, 83, 654, 263, 62, 355, 1002, 8, 220, 127, 102, 83, 256],
        "the other the_ (the) \u{e9}the", "the other the_ (the) \u{e9}the"
      ),
      (
        "x<n>y <left><right> z", [87, 1003, 88, 220, 1004, 220, 89], "x<n>y <left><right> z",
        "x<n>y <left><right> z"
      ),
      (
        " \n <left>\u{3000}<right>\t two words  <|endoftext|> ", [1000, 159, 222, 222, 1001, 1005, 999, 220],
        "<left>\u{3000}<right>two words<|endoftext|> ", "<left>\u{3000}<right> "
      ),
      (
        "<left> <left>  <right>  <left>", [1000, 1000, 220, 220, 1001, 1000], "<left><left>  <right><left>",
        "<left><left>  <right><left>"
      ),
    ]
    try withGPT2(["tokenizer_config.json": "{\"added_tokens_decoder\": {\(added)}}"]) { tokenizer in
      #expect(tokenizer.vocabularyCount == 1006)
      for (text, ids, decoded, skipped) in rows {
        #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
        #expect(tokenizer.decode(ids, skippingSpecialTokens: false) == decoded)
        #expect(tokenizer.decode(ids, skippingSpecialTokens: true) == skipped)
      }
    }
  }

  /// Expected ids from transformers 5.23.
  @Test func olderFilesOfAddedTokens() throws {
    try withGPT2([
      "added_tokens.json": #"{"[PAD]": 1000, "<new>": 1001}"#,
      "special_tokens_map.json": #"{"pad_token": "[PAD]", "additional_special_tokens": ["<extra>", "<obj>"]}"#,
    ]) { tokenizer in
      let ids: [Int32] = [87, 1000, 88, 220, 1001, 220, 1002, 220, 1003]
      #expect(tokenizer.encode("x[PAD]y <new> <extra> <obj>") == ids)
      #expect(tokenizer.decode(ids, skippingSpecialTokens: true) == "xy <new>  ")
      #expect(tokenizer.padID == 1000 && tokenizer.eosID == 999 && tokenizer.vocabularyCount == 1004)
    }
  }

  /// The mask takes the spaces before it even where no file says so.
  @Test func maskOfRoBERTa() throws {
    try Fixtures.withFolder(["vocab.json", "merges.txt"], of: Fixtures.roberta) { folder in
      for tokenizer in [try ByteLevelTokenizer(folder: folder, family: .roberta), try roberta()] {
        #expect(tokenizer.encode("a \u{2003}<mask> b<mask>c") == [0, 68, 1000, 280, 1000, 70, 2])
      }
    }
  }

  /// Expected ids from transformers 5.23: `add_prefix_space` concerns every stretch between added tokens.
  @Test func prefixSpace() throws {
    try withGPT2(["tokenizer_config.json": #"{"add_prefix_space": true}"#]) { tokenizer in
      #expect(tokenizer.encode("Hello world") == [220, 39, 341, 285, 275, 270, 319])
      #expect(tokenizer.encode("\n") == [220, 198] && tokenizer.encode(" ") == [220] && tokenizer.encode("") == [])
      #expect(tokenizer.encode("<|endoftext|>Hello") == [999, 220, 39, 341, 285])
    }
    let json = try String(contentsOf: Fixtures.gpt2.appendingPathComponent("tokenizer.json"), encoding: .utf8)
      .replacingOccurrences(of: "\"add_prefix_space\": false", with: "\"add_prefix_space\": true")
    // The family's own rules come before those of tokenizer.json, unless the class says that there are none.
    for (name, ids) in [("GPT2Tokenizer", [39, 341, 285]), ("PreTrainedTokenizerFast", [220, 39, 341, 285])] {
      try withGPT2(["tokenizer.json": json, "tokenizer_config.json": "{\"tokenizer_class\": \"\(name)\"}"]) {
        #expect($0.encode("Hello") == ids.map { Int32($0) })
      }
    }
  }

  /// Expected texts from transformers 5.23; 127 is the first byte of "é", 195 is 7, 222 and 158 are in the middle of
  /// characters.
  @Test func bytesThatAreNoText() throws {
    let tokenizer = try gpt2()
    #expect(tokenizer.decode([127], skippingSpecialTokens: false) == "\u{fffd}")
    #expect(tokenizer.decode([195, 127, 64], skippingSpecialTokens: false) == "\u{7}\u{fffd}a")
    #expect(tokenizer.decode([222, 222], skippingSpecialTokens: false) == "\u{fffd}\u{fffd}")
    #expect(tokenizer.decode([-1, 64, 1000, .max, .min], skippingSpecialTokens: false) == "a")
  }

  /// Whatever a text holds, decoding gives its bytes back.
  @Test func roundTrips() throws {
    var texts = try Fixtures.read("gpt2_goldens.json", as: OtherGoldenTests.Goldens.self).strings.map(\.text)
    texts += [
      "\u{0}\u{1}\u{7f}", "\u{301}\u{301}", "e\u{301}\u{327}", "👨‍👩‍👧‍👦🇩🇪🏽", "\u{10ffff}\u{e000}\u{fffd}", "\r\n\r",
      " \u{a0} \u{3000}", "'", "'s'S're'RE 'll", "\u{1b}[0m",
    ]
    for tokenizer in [try gpt2(), try roberta()] {
      for text in texts where !text.contains("<") {
        let ids = tokenizer.tokens(of: text)
        #expect(tokenizer.decode(ids, skippingSpecialTokens: false).utf8.elementsEqual(text.utf8), "\(text)")
      }
    }
  }

  /// A quadratic algorithm would take hours for these.
  @Test(arguments: ["a", " ", "e", "\n", "é", "'", "<", "<mask>", " <mask>", "1", "ab", "日", "\u{301}"])
  func aMillionTimesTheSame(piece: String) throws {
    let text = String(repeating: piece, count: 1_000_000 / piece.utf8.count)
    let tokenizer = try roberta()
    let start = ContinuousClock.now
    let ids = tokenizer.tokens(of: text)
    #expect(ContinuousClock.now - start < .seconds(20))
    if !piece.contains("<mask>") {
      #expect(tokenizer.decode(ids, skippingSpecialTokens: false).utf8.elementsEqual(text.utf8))
    }
  }

  @Test func identityFollowsContent() throws {
    let identity = try gpt2().identity
    #expect(try gpt2().identity == identity && identity.count == 32)
    #expect(try roberta().identity != identity)
    try withGPT2([:]) { #expect($0.identity == identity) }
    try withGPT2(["tokenizer_config.json": #"{"add_prefix_space": true}"#]) { #expect($0.identity != identity) }
    try withGPT2(["added_tokens.json": #"{"<new>": 1000}"#]) { #expect($0.identity != identity) }
    let merges = try String(contentsOf: Fixtures.gpt2.appendingPathComponent("merges.txt"), encoding: .utf8)
      .replacingOccurrences(of: "h e\nr e\n", with: "r e\nh e\n")
    try withGPT2(["merges.txt": merges]) { #expect($0.identity != identity) }
  }
}
