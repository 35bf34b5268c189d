import Foundation
import Testing

@testable import Tokenization

@Suite struct T5TokenizerTests {
  @Test func specialIDs() throws {
    let tokenizer = try Fixtures.tokenizer()
    #expect((tokenizer.padID, tokenizer.eosID, tokenizer.unknownID) == (0, 1, 2))
    #expect(tokenizer.vocabularyCount == 1100)
    #expect(
      tokenizer.sentinelID(0) == 1099 && tokenizer.sentinelID(99) == 1000 && tokenizer.sentinelID(100) == nil)
  }

  @Test func sentinelCountComesFromTheFolder() throws {
    func count(_ files: [String: String]) throws -> Int {
      try Fixtures.withFolder(files) { try T5Tokenizer(folder: $0).sentinelCount }
    }
    #expect(try count([:]) == 100)
    #expect(try count(["tokenizer_config.json": #"{"extra_ids": 7}"#]) == 7)
    #expect(try count(["tokenizer_config.json": #"{"extra_ids": 0}"#]) == 0)
    #expect(
      try count([
        "special_tokens_map.json":
          #"{"additional_special_tokens": ["<extra_id_0>", {"content": "<extra_id_1>"}]}"#
      ]) == 2)
    #expect(
      try count([
        "tokenizer_config.json":
          #"{"added_tokens_decoder": {"1": {"content": "</s>"}, "1000": {"content": "<extra_id_0>"}}}"#
      ]) == 1)
  }

  @Test func addedTokens() throws {
    try Fixtures.withFolder([
      "tokenizer_config.json":
        #"{"extra_ids": 2, "added_tokens_decoder": {"1003": {"content": "[SEP]", "special": true}}}"#
    ]) { folder in
      let tokenizer = try T5Tokenizer(folder: folder)
      #expect(tokenizer.vocabularyCount == 1004)
      #expect(tokenizer.encode("the[SEP] the") == [3, 6, 1003, 3, 6, 1])
      #expect(tokenizer.decode([3, 6, 1003, 1002, 3, 6], skippingSpecialTokens: true) == "the the")
    }
  }

  /// A token without flags is no special token; one for whole words is not found inside of others. As transformers 5.23 has it.
  @Test func addedTokensHaveTheirFlags() throws {
    try Fixtures.withFolder(["added_tokens.json": #"{"[X]": 1100, "{": 1101}"#]) { folder in
      let tokenizer = try T5Tokenizer(folder: folder)
      #expect(tokenizer.vocabularyCount == 1102)
      #expect(tokenizer.encode("the [X] the{") == [3, 6, 1100, 3, 6, 1101, 1])
      #expect(tokenizer.decode([3, 6, 1100, 1101, 1], skippingSpecialTokens: true).contains("[X]"))
      #expect(!tokenizer.specialIDs.contains(1100) && tokenizer.specialIDs.contains(1099))
    }
    let word = #"{"content": "the", "single_word": true, "normalized": false}"#
    try Fixtures.withFolder(["tokenizer_config.json": "{\"added_tokens_decoder\": {\"1100\": \(word)}}"]) { folder in
      let tokenizer = try T5Tokenizer(folder: folder)
      #expect(tokenizer.encode("the").first == 1100 && !tokenizer.encode("them").contains(1100))
    }
  }

  /// Expected text from transformers 5.23, `clean_up_tokenization_spaces=True`.
  @Test func spacesAreCleanedUpWhereTheFolderSaysSo() throws {
    let text = "do n't stop , now . it 's ' x ' !"
    try Fixtures.withFolder(["tokenizer_config.json": #"{"clean_up_tokenization_spaces": true}"#]) { folder in
      let tokenizer = try T5Tokenizer(folder: folder)
      #expect(
        tokenizer.decode(tokenizer.encode(text), skippingSpecialTokens: true)
          == "do n't stop, now. it's'x '!"
          .replacingOccurrences(of: "do n't", with: "don't"))
    }
    let plain = try Fixtures.tokenizer()
    #expect(plain.decode(plain.encode(text), skippingSpecialTokens: true) == text)
  }

  @Test func scoresComeFromTokenizerJSON() throws {
    let pieces = try #require(try Fixtures.tokenizer().model)
    // A vocabulary in which single letters are better than any longer piece.
    func entries(_ sentinels: Int) throws -> String {
      let all =
        (0..<Int32(pieces.count)).map { (pieces.piece($0), pieces.piece($0).count == 1 ? -1 : -50.0) }
        + (0..<sentinels).reversed().map { ("<extra_id_\($0)>", 0) }
      let rows = try all.map { [String(decoding: try JSONEncoder().encode($0.0), as: UTF8.self), "\($0.1)"] }
      return "{\"model\": {\"type\": \"Unigram\", \"vocab\": ["
        + rows.map { "[\($0[0]), \($0[1])]" }.joined(separator: ", ") + "]}}"
    }
    let plain = try Fixtures.withFolder { try T5Tokenizer(folder: $0) }
    try Fixtures.withFolder(["tokenizer.json": entries(100)]) { folder in
      let tokenizer = try T5Tokenizer(folder: folder)
      let letters = tokenizer.encode("the").dropLast().map { pieces.piece($0) }
      #expect(letters == ["▁", "t", "h", "e"])
      #expect(plain.encode("the") == [3, 6, 1])
      #expect(tokenizer.identity != plain.identity)
    }
    try Fixtures.withFolder(["tokenizer.json": entries(99)]) { folder in
      let error = #expect(throws: TokenizationError.self) { try T5Tokenizer(folder: folder) }
      #expect(
        error?.description.contains("1099 pieces") == true && error?.description.contains("1100") == true)
    }
  }

  @Test func identityFollowsContent() throws {
    let first = try Fixtures.tokenizer().identity
    #expect(first.count == 32)
    #expect(try Fixtures.withFolder { try T5Tokenizer(folder: $0).identity } == first)
    let fewer = try Fixtures.withFolder(["tokenizer_config.json": #"{"extra_ids": 99}"#]) {
      try T5Tokenizer(folder: $0).identity
    }
    #expect(fewer != first)
  }

  /// FNV-1a 128 of nothing and of "a", from RFC 9923.
  @Test func contentKeyIsFNV() {
    #expect(ContentKey().description == "6c62272e07bb014262b821756295c58d")
    var key = ContentKey()
    key.add(Int("a".utf8.first ?? 0))
    var reference: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
    for byte: UInt8 in [0x61, 0, 0, 0, 0, 0, 0, 0] {
      reference ^= UInt128(byte)
      reference &*= (UInt128(1) << 88) + 0x13b
    }
    #expect(key.value == reference)
    var split = ContentKey()
    split.add("ab")
    split.add("c")
    var other = ContentKey()
    other.add("a")
    other.add("bc")
    #expect(split != other)
  }
}
