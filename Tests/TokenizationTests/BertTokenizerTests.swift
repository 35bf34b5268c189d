import Foundation
import Testing

@testable import Tokenization

/// Expected ids and texts from transformers 5.23.
@Suite struct BertTokenizerTests {
  private func bert<Result>(_ configuration: String, _ body: (BertTokenizer) throws -> Result) throws -> Result {
    try Fixtures.withFolder(["vocab.txt"], of: Fixtures.bert, ["tokenizer_config.json": configuration]) {
      try body(BertTokenizer(folder: $0))
    }
  }

  private func expect(_ tokenizer: BertTokenizer, _ text: String, _ ids: [Int32], _ decoded: String) {
    #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
    #expect(tokenizer.decode(ids, skippingSpecialTokens: false).utf8.elementsEqual(decoded.utf8))
  }

  @Test func specialIDs() throws {
    let tokenizer = try BertTokenizer(folder: Fixtures.bert)
    #expect([tokenizer.padID, tokenizer.eosID, tokenizer.unknownID] == [0, 4, 2])
    #expect(tokenizer.vocabularyCount == 243)
    #expect(tokenizer.specialTokenCount(isPair: false) == 2 && tokenizer.specialTokenCount(isPair: true) == 3)
    #expect(tokenizer.assemble([7], [8, 9]) == AssembledTokens(ids: [3, 7, 4, 8, 9, 4], secondStart: 3))
  }

  @Test func cased() throws {
    try bert(#"{"do_lower_case": false}"#) { tokenizer in
      expect(tokenizer, "The Film, the film", [3, 237, 236, 17, 145, 173, 4], "[CLS] The Film, the film [SEP]")
      expect(
        tokenizer, "Hello caf\u{e9} CAF\u{c9}", [3, 239, 235, 2, 4], "[CLS] Hello caf\u{e9} [UNK] [SEP]")
      #expect(tokenizer.encode("\u{c9} \u{e9} e\u{301}") == [3, 242, 240, 2, 4])
      #expect(tokenizer.encode("\u{65e5}\u{672c} \u{130}") == [3, 131, 132, 2, 4])
    }
  }

  @Test func accentsKeptIdeographsTogetherSpacesCleanedUp() throws {
    try bert(
      #"{"strip_accents": false, "tokenize_chinese_chars": false, "clean_up_tokenization_spaces": true}"#
    ) { tokenizer in
      expect(
        tokenizer, "Don't do n't, we 've it 's ' x",
        [3, 233, 12, 78, 160, 72, 12, 78, 17, 164, 12, 80, 99, 152, 12, 77, 12, 82, 4],
        "[CLS] don't don't, we've it's'x [SEP]")
      expect(tokenizer, "caf\u{e9} \u{c9}", [3, 235, 240, 4], "[CLS] caf\u{e9} \u{e9} [SEP]")
      #expect(tokenizer.encode("\u{65e5}\u{672c}\u{8a9e}") == [3, 2, 4])
    }
  }

  @Test func flagsOfAddedTokens() throws {
    let added = #"""
      {"added_tokens_decoder": {"243": {"content": "Café Noir", "normalized": true}, "244": {"content": "<B>",
      "single_word": true, "normalized": false}, "245": {"content": "FILM", "single_word": true, "lstrip": true}}}
      """#
    try bert(added) { tokenizer in
      expect(
        tokenizer, "a CAFE\u{301} noir b caf\u{e9} noirs", [3, 59, 243, 60, 243, 77, 4],
        "[CLS] a cafe noir b cafe noir s [SEP]")
      expect(tokenizer, "a<B>b <B>", [3, 59, 23, 60, 25, 60, 244, 4], "[CLS] a < b > b <B> [SEP]")
      expect(
        tokenizer, "films the  Film, film_ film", [3, 173, 113, 145, 245, 17, 173, 32, 245, 4],
        "[CLS] films the film, film _ film [SEP]")
    }
  }

  /// Found with tokenizers 0.23.3, whose categories are those of Unicode 8.
  @Test func kindsOfCharacters() {
    let kinds: [(Unicode.Scalar, BertCharacter)] = [
      ("a", .word), ("$", .punctuation), ("^", .punctuation), ("€", .word), ("…", .punctuation), ("。", .punctuation),
      ("\u{301}", .mark), ("\u{903}", .word), ("\u{ad}", .dropped), ("\u{e000}", .dropped), ("\u{85}", .dropped),
      ("\t", .space), ("\u{3000}", .space), ("日", .ideograph), ("\u{2b820}", .word), ("か", .word),
      // Younger characters, and those whose category has changed.
      ("\u{61d}", .word), ("\u{2e43}", .word), ("\u{897}", .word), ("\u{890}", .word), ("\u{166d}", .punctuation),
      ("\u{1734}", .mark), ("\u{1885}", .word),
    ]
    for (scalar, kind) in kinds { #expect(BertCharacter(scalar) == kind, "U+\(String(scalar.value, radix: 16))") }
  }

  /// The switches of `tokenizer.json` count only where the class has none of its own.
  @Test func vocabularyFromTokenizerJSON() throws {
    let lines = try String(contentsOf: Fixtures.bert.appendingPathComponent("vocab.txt"), encoding: .utf8)
      .split(separator: "\n")
    let vocabulary = try lines.enumerated().map {
      "\(String(decoding: try JSONEncoder().encode(String($1)), as: UTF8.self)): \($0)"
    }.joined(separator: ", ")
    let model = "{\"type\": \"WordPiece\", \"vocab\": {\(vocabulary)}}"
    let json = """
      {"normalizer": {"type": "BertNormalizer", "lowercase": false}, "pre_tokenizer": {"type": "BertPreTokenizer"},
       "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 3], "sep": ["[SEP]", 4]},
       "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true}, "model": \(model)}
      """
    for (name, ids) in [("BertTokenizer", [3, 145, 4]), ("PreTrainedTokenizerFast", [3, 237, 4])] {
      try Fixtures.withFolder(
        [], of: Fixtures.bert,
        ["tokenizer.json": json, "tokenizer_config.json": "{\"tokenizer_class\": \"\(name)\"}"]
      ) { folder in
        let tokenizer = try BertTokenizer(folder: folder)
        #expect(tokenizer.encode("The") == ids.map { Int32($0) } && tokenizer.vocabularyCount == 243)
      }
    }
  }

  /// Pieces that Swift takes for equal, "é" in one and in two code points, stay apart.
  @Test func canonicallyEquivalentPieces() throws {
    let json = #"{"model": {"vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "\u00e9": 4, "e\u0301": 5}}}"#
    try Fixtures.withFolder(
      [], of: Fixtures.bert, ["tokenizer.json": json, "tokenizer_config.json": #"{"do_lower_case": false}"#]
    ) { folder in
      let tokenizer = try BertTokenizer(folder: folder)
      #expect(tokenizer.tokens(of: "\u{e9} e\u{301}") == [4, 5])
      #expect(tokenizer.decode([5], skippingSpecialTokens: true).unicodeScalars.count == 2)
    }
  }

  @Test(arguments: ["a", " ", "é", "日", "\u{301}", "#", "!", "[MASK]", "x ", "\u{0}"])
  func aMillionTimesTheSame(piece: String) throws {
    let tokenizer = try BertTokenizer(folder: Fixtures.bert)
    let text = String(repeating: piece, count: 1_000_000 / piece.utf8.count)
    let start = ContinuousClock.now
    let ids = tokenizer.tokens(of: text)
    #expect(ContinuousClock.now - start < .seconds(20))
    let expected: [Int32]? =
      switch piece {
      case " ", "\u{301}", "\u{0}": []
      case "a", "é": [2]
      case "日": Array(repeating: 131, count: 333_333)
      case "[MASK]": Array(repeating: 5, count: 166_666)
      default: nil
      }
    if let expected {
      #expect(ids == expected)
    } else {
      #expect(ids.count == text.split(separator: " ").joined().count)
    }
  }
}
