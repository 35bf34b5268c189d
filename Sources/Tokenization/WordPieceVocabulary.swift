import Foundation

/// The pieces of WordPiece, from `tokenizer.json` or from `vocab.txt`.
struct WordPieceVocabulary: Sendable {
  /// UTF-8 of each piece, by id; empty for ids that no piece has.
  let pieces: [[UInt8]]
  /// The file of the pieces.
  let url: URL

  /// - Throws: `TokenizationError`.
  init(folder: URL, tokenizerJSON: ByteJSON?) throws {
    let textURL = folder.appendingPathComponent("vocab.txt")
    let tokenizerURL = TokenizerSettings.tokenizerJSON(in: folder)
    if let model = tokenizerJSON?["model"] {
      guard model["type"]?.text ?? "WordPiece" == "WordPiece" else {
        throw TokenizationError.badConfiguration(
          tokenizerURL, reason: "expected a model of type WordPiece, found \(model["type"]?.summary ?? "none")")
      }
      url = tokenizerURL
      pieces = try PieceList.pieces(model["vocab"], in: url)
    } else {
      guard let lines = try TokenizerFiles.lines(at: textURL) else {
        throw TokenizationError.missingFiles(
          folder: folder, family: "BERT", expected: ["tokenizer.json", "vocab.txt"])
      }
      url = textURL
      pieces = lines.map(Self.trimmed)
    }
  }

  /// A line without the white space at its end.
  private static func trimmed(_ line: ArraySlice<UInt8>) -> [UInt8] {
    let bytes = Array(line)
    return Array(bytes.prefix(bytes.withUnsafeBufferPointer { UTF8Text.spaceStart($0, before: $0.count, from: 0) }))
  }
}
