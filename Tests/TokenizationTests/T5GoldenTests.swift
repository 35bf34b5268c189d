import Foundation
import Testing

@testable import Tokenization

/// Ids and texts of Hugging Face for the fixture vocabulary of 1,000 pieces.
@Suite struct T5GoldenTests {
  struct Goldens: Decodable {
    struct Row: Decodable {
      let text: String
      let ids: [Int32]
      let decoded: String
      let decoded_skip_special: String
      let spm_ids: [Int32]
    }
    let strings: [Row]
  }

  struct Pieces: Decodable {
    struct Piece: Decodable {
      let text: String
      let score: Float

      init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        text = try container.decode(String.self)
        score = try container.decode(Float.self)
      }
    }
    let pieces: [Piece]
  }

  /// No row is excepted: exotic characters agree as well.
  @Test func everyRow() throws {
    let tokenizer = try Fixtures.tokenizer()
    let rows = try Fixtures.read("t5_goldens.json", as: Goldens.self).strings
    #expect(rows.count == 300)
    for row in rows {
      #expect(tokenizer.encode(row.text) == row.ids, "\(row.text.debugDescription)")
      #expect(tokenizer.decode(row.ids, skippingSpecialTokens: false) == row.decoded)
      #expect(tokenizer.decode(row.ids, skippingSpecialTokens: true) == row.decoded_skip_special)
    }
  }

  @Test func theLibraryItself() throws {
    let model = try #require(try Fixtures.tokenizer().model)
    for row in try Fixtures.read("t5_goldens.json", as: Goldens.self).strings {
      #expect(try model.encode(row.text) == row.spm_ids, "\(row.text.debugDescription)")
    }
  }

  @Test func vocabulary() throws {
    let model = try #require(try Fixtures.tokenizer().model)
    let pieces = try Fixtures.read("t5_pieces.json", as: Pieces.self).pieces
    #expect(pieces.count == 1000 && model.count == 1000)
    for (id, piece) in pieces.enumerated() {
      #expect(model.piece(Int32(id)) == piece.text)
      #expect(model.score(Int32(id)) == piece.score)
      #expect(model.id(of: piece.text) == Int32(id))
      #expect(model.kind(Int32(id)) == (id == 2 ? .unknown : id < 2 ? .control : .normal))
    }
    #expect(model.id(of: "no such piece") == nil)
    #expect(model.piece(1000) == "" && model.piece(-1) == "")
  }

  /// Made with transformers 5.23 from the same fixture: full-width and literal special tokens, "\r\n" as one
  /// cluster, repeated marks, sentinels that do not exist, combining marks, format and control characters.
  static let more: [(text: String, ids: [Int32], decoded: String)] = [
    ("\u{ff1c}pad\u{ff1e}", [3, 0, 1], "<pad></s>"),
    ("a\r\nb", [13, 11, 1], "a b</s>"),
    ("x \u{2581}\u{2581}y", [230, 3, 9, 1], "x y</s>"),
    (
      "<extra_id_100> <extra_id_07>",
      [
        3, 984, 525, 37, 155, 485, 208, 7, 485, 297, 170, 249, 3, 984, 525, 37, 155, 485, 208, 7, 485, 170,
        164,
        249, 1,
      ], "<extra_id_100> <extra_id_07></s>"
    ),
    ("\u{fb01}sh \u{2460}", [122, 208, 5, 999, 3, 163, 1], "fish 1</s>"),
    ("e\u{301}\u{302} e\u{301}", [3, 564, 3, 564, 1], "\u{e9} \u{e9}</s>"),
    ("</s", [3, 984, 295, 5, 1], "</s</s>"),
    ("a\u{200b}b\u{a0}c", [13, 11, 3, 267, 1], "a b c</s>"),
    ("\u{1}the\u{7}", [3, 6, 1], "the</s>"),
    ("\u{4f60}\u{597d} the \u{4f60}", [3, 2, 3, 6, 3, 2, 1], "<unk> the <unk></s>"),
  ]

  @Test(arguments: more) func moreRows(row: (text: String, ids: [Int32], decoded: String)) throws {
    let tokenizer = try Fixtures.tokenizer()
    #expect(tokenizer.encode(row.text) == row.ids)
    #expect(tokenizer.decode(row.ids, skippingSpecialTokens: false).utf8.elementsEqual(row.decoded.utf8))
  }

  @Test func idsOutsideTheVocabularyPrintNothing() throws {
    #expect(
      try Fixtures.tokenizer().decode([1099, 202, 5000, -7, 1], skippingSpecialTokens: false)
        == "<extra_id_0> Hel</s>")
  }

  @Test func manyThreadsGetTheSameIDs() async throws {
    let tokenizer = try Fixtures.tokenizer()
    let rows = try Fixtures.read("t5_goldens.json", as: Goldens.self).strings
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 {
        group.addTask {
          rows.allSatisfy {
            tokenizer.encode($0.text) == $0.ids && (try? tokenizer.model?.encode($0.text)) == $0.spm_ids
          }
        }
      }
      for await agrees in group { #expect(agrees) }
    }
  }
}
