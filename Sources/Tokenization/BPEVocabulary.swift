import Foundation

/// Pieces and merges of byte-level BPE, from `tokenizer.json` or from `vocab.json` with `merges.txt`.
struct BPEVocabulary: Sendable {
  /// UTF-8 of each piece as the file has it, by id; empty for ids that no piece has.
  let pieces: [[UInt8]]
  let table: PieceTable
  let merges: MergeTable
  /// The file of the pieces.
  let url: URL
  /// `merges.txt`, where the merges come from it.
  private let mergesURL: URL?

  /// - Throws: `TokenizationError`.
  init(folder: URL, tokenizerJSON: ByteJSON?, family: String) throws {
    let vocabularyURL = folder.appendingPathComponent("vocab.json")
    let textURL = folder.appendingPathComponent("merges.txt")
    let tokenizerURL = TokenizerSettings.tokenizerJSON(in: folder)
    if let model = tokenizerJSON?["model"] {
      guard model["type"]?.text ?? "BPE" == "BPE" else {
        throw TokenizationError.badConfiguration(
          tokenizerURL, reason: "expected a model of type BPE, found \(model["type"]?.summary ?? "none")")
      }
      url = tokenizerURL
      mergesURL = nil
      pieces = try PieceList.pieces(model["vocab"], in: url)
      table = PieceTable(PieceList.numbered(pieces))
      merges = try Self.merges(try Self.pairs(model["merges"], url), table, url)
    } else {
      guard let vocabulary = try ByteJSON.object(at: vocabularyURL),
        let lines = try TokenizerFiles.lines(at: textURL)
      else {
        throw TokenizationError.missingFiles(
          folder: folder, family: family, expected: ["tokenizer.json", "vocab.json with merges.txt"])
      }
      url = vocabularyURL
      mergesURL = textURL
      pieces = try PieceList.pieces(vocabulary, in: url)
      table = PieceTable(PieceList.numbered(pieces))
      merges = try Self.merges(try Self.pairs(lines, textURL), table, textURL)
    }
  }

  /// Refuses a `merges.txt` that was cut off: every piece of several characters is what some merge makes, but for added
  /// tokens, tokens in angle brackets and the padding of RoBERTa's vocabulary, `madeupword0000`.
  ///
  /// - Throws: `TokenizationError.corruptVocabulary`.
  func requireMerges(for added: Set<[UInt8]>) throws {
    guard let mergesURL else { return }
    let made = Set(merges.idOfRank)
    let orphans = pieces.enumerated().filter { id, piece in
      !piece.isEmpty && !made.contains(Int32(id)) && (ByteAlphabet.decode(piece)?.count ?? 1) > 1
        && !added.contains(piece)
        && !(piece.first == UInt8(ascii: "<") && piece.last == UInt8(ascii: ">"))
        && !piece.starts(with: "madeupword".utf8)
    }
    guard let first = orphans.first else { return }
    throw TokenizationError.corruptVocabulary(
      mergesURL,
      reason: "no merge makes \(orphans.count == 1 ? "the piece" : "\(orphans.count) pieces of vocab.json, such as") "
        + "\"\(String(decoding: first.element.prefix(60), as: UTF8.self))\" (id \(first.offset)); the file was cut off, or "
        + "belongs to another vocabulary: fetch it again")
  }

  private typealias Pair = (left: [UInt8], right: [UInt8])

  /// `left right` on every line but comments of the form `#version: 0.2`.
  private static func pairs(_ lines: [ArraySlice<UInt8>], _ url: URL) throws -> [Pair] {
    try lines.enumerated().filter { !$1.isEmpty && !$1.starts(with: "#version".utf8) }.map { index, line in
      guard let pair = pair(line) else {
        throw TokenizationError.corruptVocabulary(
          url,
          reason: "line \(index + 1): expected two pieces with a space between them, found "
            + "\"\(String(decoding: line.prefix(60), as: UTF8.self))\"")
      }
      return pair
    }
  }

  /// `["left right", …]` or `[["left", "right"], …]`.
  private static func pairs(_ json: ByteJSON?, _ url: URL) throws -> [Pair] {
    guard let elements = json?.elements else {
      throw TokenizationError.corruptVocabulary(
        url, reason: "model.merges: expected an array, found \(json?.summary ?? "nothing")")
    }
    return try elements.enumerated().map { index, element in
      if let text = element.bytes, let pair = pair(text[...]) { return pair }
      if let parts = element.elements, parts.count == 2, let left = parts[0].bytes, let right = parts[1].bytes {
        return (left, right)
      }
      throw TokenizationError.corruptVocabulary(
        url, reason: "model.merges[\(index)]: expected two pieces, found \(element.summary)")
    }
  }

  private static func pair(_ text: ArraySlice<UInt8>) -> Pair? {
    let parts = text.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    return parts.count == 2 ? (Array(parts[0]), Array(parts[1])) : nil
  }

  private static func merges(_ pairs: [Pair], _ table: PieceTable, _ url: URL) throws -> MergeTable {
    func id(_ piece: [UInt8], _ rank: Int) throws -> Int32 {
      if let id = table.id(of: piece) { return id }
      throw TokenizationError.corruptVocabulary(
        url,
        reason: "merge \(rank) is about \"\(String(decoding: piece.prefix(60), as: UTF8.self))\", which is no piece "
          + "of the vocabulary; merges and vocabulary belong to different tokenizers")
    }
    return MergeTable(
      try pairs.enumerated().map { rank, pair in
        (try id(pair.left, rank), try id(pair.right, rank), try id(pair.left + pair.right, rank))
      })
  }
}
