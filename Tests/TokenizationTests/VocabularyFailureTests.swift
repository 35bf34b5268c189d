import Foundation
import Testing

@testable import Tokenization

/// Files of GPT-2, RoBERTa and BERT that cannot work, and what the message says about them.
@Suite struct VocabularyFailureTests {
  private static let specials = #""<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3"#
  private static let goodMerges = "#version: 0.2\na b\n"

  /// The error for a folder with these files.
  private func failure(_ modelType: String, _ files: [String: String]) throws -> TokenizationError? {
    try Fixtures.withFolder([], of: Fixtures.gpt2, files) { folder in
      #expect(throws: TokenizationError.self) { try TokenizerCatalogue.load(folder: folder, modelType: modelType) }
    }
  }

  @Test func theSmallestThatWorks() throws {
    try Fixtures.withFolder([], of: Fixtures.gpt2, ["vocab.json": "{\(Self.specials)}", "merges.txt": "a b\r\n"]) {
      let tokenizer = try TokenizerCatalogue.load(folder: $0, modelType: "gpt2")
      #expect(tokenizer.encode("aab<|endoftext|>b") == [1, 3, 0, 2] && tokenizer.vocabularyCount == 4)
    }
  }

  @Test(arguments: ["gpt2", "roberta", "bert", "t5"]) func nothingThere(modelType: String) throws {
    let message = try #require(try failure(modelType, [:])).description
    let expected =
      switch modelType {
      case "bert": ["tokenizer.json nor vocab.txt", "BERT"]
      case "t5": ["spiece.model"]
      default: ["tokenizer.json nor vocab.json with merges.txt"]
      }
    for part in expected { #expect(message.contains(part)) }
  }

  @Test func oneOfTwoThere() throws {
    for name in ["vocab.json", "merges.txt"] {
      let error = try failure("gpt2", [name: "{\(Self.specials)}"])
      #expect(error?.description.contains("vocab.json with merges.txt") == true)
    }
  }

  @Test func unknownModelType() throws {
    let message = try #require(try failure("xlm-roberta", [:])).description
    #expect(message.contains("\"xlm-roberta\"") && message.contains("t5, mt5, gpt2, roberta, bert"))
  }

  @Test(arguments: [
    ("{", "it is not JSON"), ("", "it is not JSON"), ("[1]", "expected a JSON object"),
    (#"{"a": 1, "#, "it is not JSON"), (#"{"a": 1} x"#, "expected the end"), (#"{"a\uD800": 1}"#, "surrogate"),
    (String(repeating: "[", count: 100_000), "nested deeper"), (#"{"a": tru}"#, "expected true"),
    ("{}", "expected an object of pieces"), (#"{"a": "1"}"#, "\"a\""), (#"{"a": -1}"#, "found -1"),
    (#"{"a": 1.5}"#, "found 1.5"), (#"{"a": 4000000000}"#, "found 4000000000"),
    (#"{"a": 99999999999999999999}"#, "expected an id from 0"), (#"{"a": 200000}"#, "found 200000"),
    (#"{"a": 1, "b": 1}"#, "id 1 is \"a\" and \"b\""), (#"{"a": 1, "a": 2}"#, "the piece \"a\" twice"),
    (#"{"a": 0, "b": 1, "ab": 2}"#, "it has no piece <|endoftext|>, which GPT-2 needs"),
  ])
  func brokenVocabulary(text: String, reason: String) throws {
    let message = try #require(try failure("gpt2", ["vocab.json": text, "merges.txt": "a b\n"])).description
    #expect(message.contains("/vocab.json") && message.contains(reason), "\(message)")
  }

  @Test(arguments: [
    ("a c\n", "\"c\""), ("x b\n", "\"x\""), ("b a\n", "\"ba\""), ("a\n", "line 1"), ("a b\na b b\n", "line 2"),
    ("a  b\n", "line 1"),
  ])
  func brokenMerges(text: String, reason: String) throws {
    let error = try failure("gpt2", ["vocab.json": "{\(Self.specials)}", "merges.txt": text])
    guard case .corruptVocabulary = error else {
      Issue.record("found \(String(describing: error))")
      return
    }
    #expect(error?.description.contains("/merges.txt") == true && error?.description.contains(reason) == true)
  }

  @Test(arguments: [
    (#"{"model": {"type": "WordPiece", "vocab": {}}}"#, "type BPE"),
    (#"{"model": {}}"#, "expected an object of pieces"),
    (#"{"model": {"vocab": {"<|endoftext|>": 0}}}"#, "model.merges"),
    (#"{"model": {"vocab": {"<|endoftext|>": 0}, "merges": [["a"]]}}"#, "model.merges[0]"),
    (#"{"model": {"vocab": {"<|endoftext|>": 0}, "merges": [3]}}"#, "model.merges[0]"),
    (#"{"model": {"vocab": {"a": 0}, "merges": []}, "added_tokens": [{"content": "x"}]}"#, "tokens with an id"),
    (#"{"model": {"vocab": {"a": 0}, "merges": []}, "added_tokens": [{"id": 5, "content": "x"}]}"#, "id 5"),
    (#"{"model": {"vocab": {"a": 0}, "merges": []}, "added_tokens": [{"id": 5}]}"#, "an object with a content"),
  ])
  func brokenTokenizerJSON(text: String, reason: String) throws {
    let message = try #require(try failure("gpt2", ["tokenizer.json": text])).description
    #expect(message.contains("/tokenizer.json") && message.contains(reason), "\(message)")
  }

  @Test func truncatedTokenizerJSON() throws {
    let json = try Data(contentsOf: Fixtures.gpt2.appendingPathComponent("tokenizer.json"))
    for count in [1, 100, json.count / 2, json.count - 1] {
      let error = try failure("gpt2", ["tokenizer.json": String(decoding: json.prefix(count), as: UTF8.self)])
      #expect(error?.description.contains("it is not JSON") == true)
    }
  }

  @Test(arguments: [
    ("tokenizer_config.json", #"{"added_tokens_decoder": {"x": {"content": "y"}}}"#, "expected ids as keys"),
    ("tokenizer_config.json", #"{"added_tokens_decoder": {"-1": {"content": "y"}}}"#, "id -1"),
    ("tokenizer_config.json", #"{"added_tokens_decoder": {"9000000000": {"content": "y"}}}"#, "the next id"),
    ("tokenizer_config.json", #"{"added_tokens_decoder": {"2": {"content": "a"}}}"#, "is id 1 of the vocabulary"),
    ("tokenizer_config.json", #"{"eos_token": 7}"#, "eos_token"),
    ("tokenizer_config.json", #"{"add_prefix_space": "yes"}"#, "add_prefix_space"),
    ("tokenizer_config.json", #"{"add_bos_token": true}"#, "add_bos_token"),
    ("added_tokens.json", #"{"new": "4"}"#, "expected ids by text"),
    ("added_tokens.json", #"{"new": 5}"#, "the next id"),
    ("special_tokens_map.json", #"{"pad_token": []}"#, "pad_token"),
  ])
  func brokenSettings(name: String, text: String, reason: String) throws {
    let files = ["vocab.json": "{\(Self.specials)}", "merges.txt": Self.goodMerges, name: text]
    let error = try failure("gpt2", files)
    guard case .badConfiguration(let url, _) = error else {
      Issue.record("found \(String(describing: error))")
      return
    }
    #expect(url.lastPathComponent == name)
    #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
  }

  @Test func brokenWordPieces() throws {
    #expect(try failure("bert", ["vocab.txt": ""])?.description.contains("which BERT needs") == true)
    #expect(try failure("bert", ["vocab.txt": "[PAD]\n[UNK]\n[CLS]\n"])?.description.contains("[SEP]") == true)
    let message = try failure("bert", ["tokenizer.json": #"{"model": {"type": "BPE"}}"#])?.description
    #expect(message?.contains("WordPiece") == true)
  }

  @Test func notUTF8() throws {
    try Fixtures.withFolder([], of: Fixtures.bert) { folder in
      try Data([0x61, 0xFF, 0x0A]).write(to: folder.appendingPathComponent("vocab.txt"))
      let error = #expect(throws: TokenizationError.self) { try BertTokenizer(folder: folder) }
      #expect(error?.description.contains("not UTF-8") == true)
    }
  }
}
