import Foundation
import Testing
import Tokenization

@testable import Tasks

/// Texts for pre-training: which rows there may be, and how a text longer than an example is divided.
@Suite struct CorpusTaskTests {
  private func examples(_ text: String, name: String = "corpus.jsonl", form: ExampleForm = .textToText) throws
    -> [Example]
  {
    let file = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)-\(name)")
    try Data(text.utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    return try CorpusTask(options: TextOptions(form: form)).examples(at: file)
  }

  @Test func textsAndPairsInOneFile() throws {
    let found = try examples("{\"text\": \"a b\"}\n{\"source\": \"c\", \"target\": \"d\"}\n")
    #expect(found.map(\.source) == ["a b", "c"] && found.map(\.target) == ["", "d"])
    #expect(found.map(\.isPlainText) == [true, false] && found.map(\.index) == [0, 1])
    let table = try examples("text\tsource\ttarget\na b\t\t\n\tc\td\n", name: "corpus.tsv")
    #expect(table.map(\.source) == ["a b", "c"] && table.map(\.isPlainText) == [true, false])
  }

  @Test func linesOfAPlainFile() throws {
    let found = try examples("one\n\ntwo \"three\"\n", name: "corpus.txt")
    #expect(found.map(\.source) == ["one", "two \"three\""] && found.map(\.id) == ["1", "3"])
    #expect(found.map(\.index) == [0, 1])
    #expect(throws: DataError.self) { try examples("\n\n", name: "corpus.txt") }
  }

  /// As programs for Windows write them: neither line ends nor the byte order mark are part of a text.
  @Test func linesOfAPlainFileFromElsewhere() throws {
    let found = try examples("\u{FEFF}one\r\n\r\n \t\u{A0}\r\n \ntwo\rthree \r\nfour", name: "corpus.txt")
    #expect(found.map(\.source) == ["one", "two\rthree ", "four"] && found.map(\.id) == ["1", "5", "6"])
    #expect(throws: DataError.self) { try examples("\u{FEFF}\r\n \r\n", name: "corpus.txt") }
  }

  @Test func aLineThatIsNoUTF8IsNamed() throws {
    try Fixtures.withFolder { folder in
      let file = folder.appending(path: "corpus.txt")
      try (Data("one\r\n\r\n".utf8) + [0xC3, 0x0A]).write(to: file)
      #expect(throws: DataError.invalidUTF8(file, line: 3)) { try CorpusTask().examples(at: file) }
    }
  }

  @Test(arguments: [
    "{\"text\": \"\"}", "{\"source\": \"a\"}", "{\"text\": \"a\", \"source\": \"b\", \"target\": \"c\"}",
    "{\"review\": \"a\"}",
  ]) func rowsThatAreNeither(row: String) {
    let error = #expect(throws: DataError.self) { try examples("{\"text\": \"a\"}\n\(row)\n") }
    #expect(error?.description.contains(":2") == true, "\(String(describing: error))")
    #expect(error?.description.contains("either \"text\"") == true)
  }

  @Test func noPairsForAModelThatNamesTokens() {
    let error = #expect(throws: DataError.self) {
      try examples("{\"source\": \"a\", \"target\": \"b\"}", form: .classification)
    }
    #expect(error?.description.contains("leave only rows with \"text\"") == true)
  }

  // MARK: Parts

  private static let t5 = Result {
    try T5Tokenizer(
      folder: URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Goldens/tokenizers/t5"))
  }

  /// Parts of nearly the same length hold all tokens in their order, each once.
  @Test(arguments: [3, 10, 64]) func partsHoldTheWholeText(length: Int) throws {
    let tokenizer = try Self.t5.get()
    let text = Array(repeating: "the plot of a long film", count: 5).joined(separator: " and ")
    let tokens = tokenizer.tokens(of: text)
    let plain = Example(index: 3, id: "3", source: text, target: "", isPlainText: true)
    let parts = ExampleEncoding(source: 99, target: 8, textLength: length).encodedParts(plain, with: tokenizer)
    #expect(parts.flatMap(\.source) == tokens && parts.allSatisfy { $0.target.isEmpty })
    let lengths = parts.map(\.source.count)
    #expect(lengths.allSatisfy { $0 <= length } && (lengths.max() ?? 0) - (lengths.min() ?? 0) <= 1)
    // A decoder's texts end with the end-of-sequence token, and all but the first token of a part are targets.
    let blocks = ExampleEncoding(form: .continuation, source: 99, target: 8, textLength: length)
      .encodedParts(plain, with: tokenizer)
    #expect(blocks.flatMap { $0.source + $0.target } == tokens + [tokenizer.eosID])
    #expect(blocks.allSatisfy { $0.source.count == 1 && $0.source.count + $0.target.count <= length })
  }

  @Test func partsAreNumberedAnew() throws {
    let tokenizer = try Self.t5.get()
    let texts = (0..<3).map { number in
      Example(
        index: number, id: "\(number)", source: "the plot of a film that is long", target: "", isPlainText: true)
    }
    let encoded = EncodedDataset.encode(
      texts, tokenizer: tokenizer, encoding: ExampleEncoding(source: 99, target: 8, textLength: 4), threads: 2)
    #expect(encoded.count > 3 && encoded.map(\.index) == Array(encoded.indices))
  }
}
