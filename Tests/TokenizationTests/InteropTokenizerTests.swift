import Foundation
import Testing

@testable import Tokenization

/// Folders as transformers' AutoTokenizer reads them, and those that are refused by key (`Goldens/interop/tokenizers.json`).
@Suite struct InteropTokenizerTests {
  private static let goldens = Fixtures.goldens.deletingLastPathComponent().appending(path: "interop/tokenizers.json")

  private static func cases() throws -> [[String: Any]] {
    try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: goldens)) as? [[String: Any]])
  }

  /// Runs `body` with the folder of a case.
  private static func withFolder(_ entry: [String: Any], _ body: (URL) throws -> Void) throws {
    let base = entry["base"] as? String ?? "t5"
    let files = try #require(entry["files"] as? [String: Any])
    let texts = try files.mapValues { file in
      if let text = file as? String { return text }
      let whole = try whole(#require(file as? [String: Any]))
      return String(decoding: try JSONSerialization.data(withJSONObject: whole), as: UTF8.self)
    }
    try Fixtures.withFolder(
      entry["copied"] as? [String] ?? [], of: Fixtures.goldens.appendingPathComponent(base), texts, body)
  }

  /// A file that is told as changes of a golden tokenizer.json.
  private static func whole(_ file: [String: Any]) throws -> [String: Any] {
    let base = try #require(file["of"] as? String)
    let url = Fixtures.goldens.appendingPathComponent("\(base)/tokenizer.json")
    let read = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any]
    var whole = try #require(read)
    for (key, value) in file["changes"] as? [String: Any] ?? [:] { whole[key] = value }
    var model = try #require(whole["model"] as? [String: Any])
    for (key, value) in file["model"] as? [String: Any] ?? [:] { model[key] = value }
    whole["model"] = model
    return whole
  }

  @Test func everyFolder() throws {
    var count = (read: 0, refused: 0)
    for entry in try Self.cases() {
      let name = try #require(entry["name"] as? String)
      let modelType = try #require(entry["model_type"] as? String)
      try Self.withFolder(entry) { folder in
        if let key = entry["refused"] as? String {
          count.refused += 1
          let error = #expect(throws: TokenizationError.self, "\(name)") {
            try TokenizerCatalogue.load(folder: folder, modelType: modelType)
          }
          guard case .badConfiguration(let url, let reason)? = error else {
            Issue.record("\(name): \(String(describing: error))")
            return
          }
          let file = key == "tokenizer_class" ? "tokenizer_config.json" : "tokenizer.json"
          #expect(url.lastPathComponent == file && reason.hasPrefix("\(key): "), "\(name): \(reason)")
          return
        }
        count.read += 1
        let tokenizer = try TokenizerCatalogue.load(folder: folder, modelType: modelType)
        #expect(tokenizer.vocabularyCount == entry["count"] as? Int, "\(name)")
        for row in entry["texts"] as? [[Any]] ?? [] {
          let text = try #require(row[0] as? String)
          #expect(tokenizer.encode(text).map { Int($0) } == row[1] as? [Int], "\(name): \(text)")
        }
        let pair = try #require(entry["pair"] as? [Any])
        let (first, second) = (try #require(pair[0] as? String), try #require(pair[1] as? String))
        let ids = tokenizer.assemble(tokenizer.tokens(of: first), tokenizer.tokens(of: second)).ids
        #expect(ids.map { Int($0) } == pair[2] as? [Int], "\(name)")
      }
    }
    #expect(count.read == 61 && count.refused == 24, "\(count)")
  }

  /// A T5 that transformers 5 saved has no `spiece.model`: the same ids come from `tokenizer.json` alone.
  @Test func aWholeT5FromTokenizerJSON() throws {
    let spiece = try Fixtures.tokenizer()
    let model = try #require(spiece.model)
    var vocabulary: [[Any]] = (0..<Int32(model.count)).map { [model.piece($0), Double(model.score($0))] }
    vocabulary += (0..<100).reversed().map { ["<extra_id_\($0)>", 0.0] }
    let map = Data(model.characterMap).base64EncodedString()
    let file: [String: Any] = [
      "model": ["type": "Unigram", "unk_id": 2, "vocab": vocabulary],
      "normalizer": ["type": "Precompiled", "precompiled_charsmap": map],
    ]
    let text = String(decoding: try JSONSerialization.data(withJSONObject: file), as: UTF8.self)
    try Fixtures.withFolder([], of: Fixtures.t5, ["tokenizer.json": text]) { folder in
      let alone = try T5Tokenizer(folder: folder)
      #expect(alone.model == nil && alone.url.lastPathComponent == "tokenizer.json")
      #expect(alone.vocabularyCount == 1100 && alone.sentinelCount == 100 && alone.sentinelID(99) == 1000)
      let rows = try Fixtures.read("t5_goldens.json", as: OtherGoldenTests.Goldens.self).strings
      #expect(rows.count > 200)
      for row in rows {
        #expect(alone.encode(row.text) == row.ids, "\(row.text.debugDescription)")
        #expect(alone.decode(row.ids, skippingSpecialTokens: true).utf8.elementsEqual(row.decoded_skip_special.utf8))
      }
    }
  }

  // MARK: Damage

  @Test func mergesThatWereCutOff() throws {
    let merges = try String(contentsOf: Fixtures.gpt2.appendingPathComponent("merges.txt"), encoding: .utf8)
    let lines = merges.split(separator: "\n", omittingEmptySubsequences: false)
    for kept in [1, lines.count / 2, lines.count - 2] {
      let files = ["merges.txt": lines.prefix(kept).joined(separator: "\n") + "\n"]
      try Fixtures.withFolder(["vocab.json", "tokenizer_config.json"], of: Fixtures.gpt2, files) { folder in
        let error = #expect(throws: TokenizationError.self) {
          try TokenizerCatalogue.load(folder: folder, modelType: "gpt2")
        }
        guard case .corruptVocabulary(let url, let reason)? = error else {
          Issue.record("\(String(describing: error))")
          return
        }
        #expect(url.lastPathComponent == "merges.txt" && reason.contains("cut off"))
      }
    }
  }

  /// A link to nothing is no absent file: nothing is read in its place.
  @Test(arguments: [
    ("gpt2", "tokenizer.json"), ("gpt2", "tokenizer_config.json"), ("gpt2", "added_tokens.json"),
    ("gpt2", "special_tokens_map.json"), ("t5", "spiece.model"), ("t5", "tokenizer.json"), ("bert", "vocab.txt"),
  ]) func brokenLinks(base: String, name: String) throws {
    let source = Fixtures.goldens.appendingPathComponent(base)
    let names = try FileManager.default.contentsOfDirectory(atPath: source.path).filter { $0 != name }
    try Fixtures.withFolder(names, of: source) { folder in
      try FileManager.default.createSymbolicLink(
        atPath: folder.appendingPathComponent(name).path, withDestinationPath: "blobs/gone")
      let error = #expect(throws: TokenizationError.self) {
        try TokenizerCatalogue.load(folder: folder, modelType: base)
      }
      #expect(error?.description.contains("/\(name): it is a link to blobs/gone, which does not exist") == true)
    }
  }

  @Test(arguments: [("t5", "spiece.model"), ("gpt2", "tokenizer.json"), ("bert", "vocab.txt")])
  func pointersOfGitLFS(base: String, name: String) throws {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 791656\n"
    try Fixtures.withFolder([], of: Fixtures.t5, [name: pointer]) { folder in
      let error = #expect(throws: TokenizationError.self) {
        try TokenizerCatalogue.load(folder: folder, modelType: base)
      }
      #expect(error?.description.contains("/\(name): it is a pointer of Git LFS") == true)
    }
  }

  /// A map whose values are no texts is refused, so that nothing that is not UTF-8 gets into a text.
  @Test func aCharacterMapOfBrokenTexts() throws {
    let good = try #require(try Fixtures.tokenizer().model).characterMap
    #expect(CharacterMap(bytes: good) != nil)
    let size = (0..<4).reduce(0) { $0 | Int(good[$1]) << (8 * $1) }
    // The first replacement of several bytes loses the first of them.
    let place = try #require((4 + size..<good.count).first { good[$0] >= 0xC2 })
    var broken = good
    broken[place] = 0x80
    #expect(CharacterMap(bytes: broken) == nil)
  }

  /// Places in bytes that are no UTF-8 read as characters within the text.
  @Test(arguments: [[0xF0], [0xE2, 0x96], [0x80], [0x61, 0xF4, 0x80], [0x80, 0x80]] as [[UInt8]])
  func brokenTextStaysInBounds(bytes: [UInt8]) {
    bytes.withUnsafeBufferPointer { text in
      var position = 0
      while position < text.count { position += UTF8Text.scalar(text, at: position).width }
      #expect(position == text.count)
      _ = UTF8Text.scalar(text, before: text.count)
      #expect(UTF8Text.spaceStart(text, before: text.count, from: 0) == text.count)
    }
  }
}
