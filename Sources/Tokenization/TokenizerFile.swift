import Foundation

/// The piece scores of a `tokenizer.json`, which Hugging Face prefers to those of `spiece.model`.
///
/// They are the same numbers, rounded in their decimal form; the last bit decides between segmentations of
/// equal probability (seen in one IMDb review of 4,500).
enum TokenizerFile {
  /// Scores by id, or nil if the folder has no `tokenizer.json`.
  ///
  /// - Parameter pieces: UTF-8 of each id, which the file must agree with.
  /// - Throws: `TokenizationError.badConfiguration`, `.unreadable`.
  static func scores(in folder: URL, pieces: [[UInt8]]) throws -> [Double]? {
    let url = folder.appendingPathComponent("tokenizer.json")
    guard FileManager.default.fileExists(atPath: url.path) else { return nil }
    let data: Data
    do { data = try Data(contentsOf: url, options: .mappedIfSafe) } catch {
      throw TokenizationError.unreadable(url, reason: error.localizedDescription)
    }
    guard let file = try? JSONDecoder().decode(File.self, from: data), file.model.type == "Unigram" else {
      throw TokenizationError.badConfiguration(
        url, reason: "expected a tokenizer with a model of type Unigram and its vocabulary")
    }
    let entries = file.model.vocab
    guard entries.count == pieces.count else {
      throw TokenizationError.badConfiguration(
        url,
        reason: "it has \(entries.count) pieces, spiece.model with its sentinels \(pieces.count); "
          + "the two files belong to different tokenizers")
    }
    for (id, entry) in entries.enumerated() where !entry.text.utf8.elementsEqual(pieces[id]) {
      throw TokenizationError.badConfiguration(
        url,
        reason: "piece \(id) is \"\(entry.text)\", but \"\(String(decoding: pieces[id], as: UTF8.self))\" in "
          + "spiece.model with its sentinels; the two files belong to different tokenizers")
    }
    return entries.map(\.score)
  }

  private struct File: Decodable {
    struct Model: Decodable {
      let type: String
      let vocab: [Entry]
    }
    let model: Model
  }

  /// `[piece, score]`
  private struct Entry: Decodable {
    let text: String
    let score: Double

    init(from decoder: any Decoder) throws {
      var container = try decoder.unkeyedContainer()
      text = try container.decode(String.self)
      score = try container.decode(Double.self)
    }
  }
}
