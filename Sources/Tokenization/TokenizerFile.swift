import Foundation

/// The pieces and the character map of a Unigram `tokenizer.json`, which Hugging Face prefers to those of `spiece.model`.
///
/// The scores are the same numbers, rounded in their decimal form; the last bit decides between segmentations of equal
/// probability (seen in one IMDb review of 4,500).
struct TokenizerFile {
  let url: URL
  /// UTF-8 of each piece, by id.
  let pieces: [[UInt8]]
  let scores: [Double]
  /// The normaliser's character map; empty where the file has none.
  let characterMap: [UInt8]
  /// `unk_id` of the model.
  let unknownID: Int?

  /// - Throws: `TokenizationError.badConfiguration`.
  init(_ json: ByteJSON, url: URL) throws {
    self.url = url
    let model = json["model"]
    guard model?["type"]?.text == "Unigram", let entries = model?["vocab"]?.elements else {
      throw TokenizationError.badConfiguration(
        url, reason: "expected a tokenizer with a model of type Unigram and its vocabulary")
    }
    var (pieces, scores): ([[UInt8]], [Double]) = ([], [])
    for (id, entry) in entries.enumerated() {
      guard let parts = entry.elements, parts.count == 2, let piece = parts[0].bytes, let score = parts[1].number,
        score.isFinite
      else {
        throw TokenizationError.badConfiguration(
          url, reason: "model.vocab[\(id)]: expected a piece and its score, found \(entry.summary)")
      }
      pieces.append(piece)
      scores.append(score)
    }
    (self.pieces, self.scores) = (pieces, scores)
    if case .integer(let id)? = model?["unk_id"] { unknownID = id } else { unknownID = nil }
    characterMap = try Self.characterMap(json["normalizer"], url)
  }

  /// - Throws: `TokenizationError.badConfiguration` unless the pieces are these.
  func requireSame(_ others: [[UInt8]]) throws {
    guard pieces.count == others.count else {
      throw TokenizationError.badConfiguration(
        url,
        reason: "it has \(pieces.count) pieces, spiece.model with its sentinels \(others.count); "
          + "the two files belong to different tokenizers")
    }
    for (id, piece) in pieces.enumerated() where piece != others[id] {
      throw TokenizationError.badConfiguration(
        url,
        reason: "piece \(id) is \"\(String(decoding: piece, as: UTF8.self))\", but "
          + "\"\(String(decoding: others[id], as: UTF8.self))\" in "
          + "spiece.model with its sentinels; the two files belong to different tokenizers")
    }
  }

  /// The map of the first normaliser of type Precompiled.
  private static func characterMap(_ normalizer: ByteJSON?, _ url: URL) throws -> [UInt8] {
    let all = normalizer?["normalizers"]?.elements ?? [normalizer].compactMap(\.self)
    guard let text = all.first(where: { $0["type"]?.text == "Precompiled" })?["precompiled_charsmap"]?.bytes else {
      return []
    }
    guard let map = Data(base64Encoded: Data(text)) else {
      throw TokenizationError.badConfiguration(url, reason: "normalizer.precompiled_charsmap: expected text in base64")
    }
    return [UInt8](map)
  }
}
