import Foundation
import Testing

@testable import Tokenization

/// The trainer of vocabularies, which is the library's own.
@Suite struct VocabularyTrainerTests {
  /// Words of two to four syllables, hundreds of them.
  private static let lines = (0..<400).map { line in
    let syllables = ["ka", "lor", "mi", "ten", "su", "ra", "vel", "o", "nim", "pe", "dra", "che", "ful"]
    return (0..<9).map { place in
      let number = line * 31 + place * place * 7 + line / 11
      return (0..<2 + number % 3).map { syllables[(number / (1 + $0 * 3) + $0 * 5) % syllables.count] }.joined()
    }.joined(separator: " ")
  }

  @Test func theIDsAreThoseOfT5() throws {
    let bytes = try VocabularyTrainer(pieceCount: 60).train(Self.lines)
    let model = try SentencePieceModel(bytes: bytes, name: "trained")
    #expect(model.count == 60)
    #expect((0..<3).map { model.piece(Int32($0)) } == ["<pad>", "</s>", "<unk>"])
    #expect(model.kind(0) == .control && model.kind(1) == .control && model.kind(2) == .unknown)
    #expect((3..<60).allSatisfy { model.kind(Int32($0)) == .normal })
    #expect(model.id(of: "<s>") == nil)
    #expect(!model.characterMap.isEmpty)
  }

  /// What our tokenizer makes of the trained model is what the library makes of it, and gives the text back.
  @Test func theTokenizerReadsIt() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("trained-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let bytes = try VocabularyTrainer(pieceCount: 60).train(Self.lines)
    try Data(bytes).write(to: folder.appendingPathComponent("spiece.model"))
    let tokenizer = try T5Tokenizer(folder: folder)
    #expect(tokenizer.vocabularyCount == 160 && tokenizer.sentinelID(0) == 159)
    for line in Self.lines {
      let ids = tokenizer.encode(line)
      #expect(try Array(ids.dropLast()) == tokenizer.model?.encode(line))
      #expect(ids.last == 1 && !ids.contains(2))
      #expect(tokenizer.decode(ids, skippingSpecialTokens: true) == line)
    }
  }

  @Test func theSameTextGivesTheSameBytes() throws {
    let trainer = VocabularyTrainer(pieceCount: 50)
    let bytes = try trainer.train(Self.lines)
    #expect(try trainer.train(Self.lines) == bytes)
    #expect(try trainer.train(Self.lines.dropLast(40)) != bytes)
    // What the library would leave out is read: tabs, its own mark, long lines, empty ones.
    #expect(try trainer.train(Self.lines.map { $0.replacing(" ", with: "\t") } + ["", " "]) == bytes)
    let marked = Self.lines.map { $0.replacing(" ", with: "\u{2585}") }
    #expect(try trainer.train(marked) == bytes)
    #expect(try SentencePieceModel(bytes: trainer.train([Self.lines.joined(separator: " ")]), name: "one").count == 50)
  }

  @Test(arguments: [
    (100_000, VocabularyTrainerTests.lines, "Please set it to a value <="),
    (8, VocabularyTrainerTests.lines, "Increase vocab_size"), (50, [], "there is no text"),
    (
      50, ["", "\t", "\u{200B}\u{200C}", "\u{FEFF}", "\u{FFFD}", "\u{2581}\u{2585}", "\u{7}\u{2028}"],
      "there is no text"
    ),
    (50, ["a"], "Please set it to a value <="),
  ])
  func sizesThatTheTextDoesNotGive(size: Int, lines: [String], reason: String) throws {
    let error = #expect(throws: TokenizationError.self) { try VocabularyTrainer(pieceCount: size).train(lines) }
    let text = "\(try #require(error))"
    #expect(text.hasPrefix("training a vocabulary of \(size) pieces: ") && text.contains(reason), "\(text)")
    #expect(!text.contains(".cc("), "\(text)")
  }
}
