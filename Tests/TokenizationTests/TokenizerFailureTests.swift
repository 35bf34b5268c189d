import Foundation
import Testing

@testable import Tokenization

/// Files that cannot work, and what the message says about them.
@Suite struct TokenizerFailureTests {
  private func failure(_ folder: URL) -> TokenizationError? {
    do {
      _ = try T5Tokenizer(folder: folder)
      return nil
    } catch { return error as? TokenizationError }
  }

  private func failure(model bytes: Data) throws -> TokenizationError? {
    try Fixtures.withFolder { folder in
      try bytes.write(to: folder.appendingPathComponent("spiece.model"))
      return failure(folder)
    }
  }

  @Test func missing() {
    let folder = URL(fileURLWithPath: "/nonexistent/model")
    let error = failure(folder)
    #expect(error == .missingFiles(folder: folder, family: "T5", expected: ["tokenizer.json", "spiece.model"]))
    #expect(
      error?.localizedDescription.contains("/nonexistent/model has neither tokenizer.json nor spiece.model") == true)
  }

  @Test func folderInPlaceOfTheFile() throws {
    try Fixtures.withFolder { folder in
      let model = folder.appendingPathComponent("spiece.model")
      try FileManager.default.removeItem(at: model)
      try FileManager.default.createDirectory(at: model, withIntermediateDirectories: false)
      guard case .unreadable = failure(folder) else {
        Issue.record("found \(String(describing: failure(folder)))")
        return
      }
    }
  }

  @Test func corrupt() throws {
    let model = try Data(contentsOf: Fixtures.t5.appendingPathComponent("spiece.model"))
    var damaged = model
    damaged[4] = 0xFF
    for bytes in [
      Data(), Data("this is no model".utf8), model.prefix(model.count / 2), model.prefix(1000), damaged,
      Data(repeating: 0, count: 64),
    ] {
      let error = try failure(model: Data(bytes))
      guard case .corruptModel = error else {
        Issue.record("\(bytes.count) bytes: found \(String(describing: error))")
        continue
      }
      #expect(error?.description.contains("spiece.model") == true)
    }
  }

  @Test func vocabularyOfAnotherModel() throws {
    let tokenizer = try Fixtures.tokenizer()
    for rows in [1100, 1128, 2200] { try tokenizer.validate(modelVocabularySize: rows) }
    for rows in [1, 1099, 2201, 32_128] {
      let error = #expect(throws: TokenizationError.self) {
        try tokenizer.validate(modelVocabularySize: rows)
      }
      #expect(error?.description.contains("has 1100 ids") == true)
      #expect(error?.description.contains("has \(rows) rows") == true)
    }
  }

  @Test(arguments: [
    #"{"extra_ids": "many"}"#, #"{"extra_ids": -1}"#, "[1]", "{",
    #"{"added_tokens_decoder": {"x": {"content": "y"}}}"#,
    #"{"added_tokens_decoder": {"6": {"content": "other"}}}"#,
    #"{"added_tokens_decoder": {"9000000": {"content": "far"}}}"#,
  ])
  func badConfiguration(text: String) throws {
    let error = try Fixtures.withFolder(["tokenizer_config.json": text], failure)
    guard case .badConfiguration(let url, _) = error else {
      Issue.record("found \(String(describing: error))")
      return
    }
    #expect(url.lastPathComponent == "tokenizer_config.json")
  }

  @Test func idsTheLibraryDoesNotHave() throws {
    let model = try #require(try Fixtures.tokenizer().model)
    #expect(try model.decode([3, 6]) == "the")
    #expect(throws: TokenizationError.self) { try model.decode([1000]) }
    #expect(throws: TokenizationError.self) { try model.decode([-1]) }
  }

  @Test func longOutputs() throws {
    let model = try #require(try Fixtures.tokenizer().model)
    let longest = try #require(model.id(of: "▁underdecorate"))
    let text = try model.decode([Int32](repeating: longest, count: 500))
    #expect(text == [String](repeating: "underdecorate", count: 500).joined(separator: " "))
    #expect(
      try SentencePieceModel(
        bytes: Array(Data(contentsOf: Fixtures.t5.appendingPathComponent("spiece.model"))), name: "memory"
      ).encode(text)
        == [Int32](repeating: longest, count: 500))
  }
}
