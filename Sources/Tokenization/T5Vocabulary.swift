import Foundation

/// The ids of a T5 tokenizer and what each of them means.
struct T5Vocabulary {
  /// Text of every id; empty for ids that nothing claims.
  private(set) var tokens: [String]
  /// UTF-8 and log-probabilities of what words are made of: the pieces, and the sentinels at 0 as Hugging
  /// Face has it.
  private(set) var segmentable: [[UInt8]]
  private(set) var scores: [Double]
  /// The tokens recognised literally in a text and left out when special tokens are skipped.
  private(set) var specialTokens: [String: Int32]
  let padID: Int32
  let eosID: Int32
  let unknownID: Int32

  /// - Throws: `TokenizationError.corruptModel` when a token T5 needs is missing.
  init(model: SentencePieceModel, configuration: T5TokenizerConfiguration, url: URL) throws {
    func id(_ piece: String) throws -> Int32 {
      guard let id = model.id(of: piece) else {
        throw TokenizationError.corruptModel(url, reason: "it has no piece \(piece), which T5 needs")
      }
      return id
    }
    padID = try id("<pad>")
    eosID = try id("</s>")
    unknownID = try id("<unk>")
    specialTokens = ["<pad>": padID, "</s>": eosID, "<unk>": unknownID]
    segmentable = (0..<Int32(model.count)).map(model.pieceBytes)
    scores = (0..<Int32(model.count)).map { Double(model.score($0)) }
    for k in (0..<configuration.sentinelCount).reversed() {
      specialTokens["<extra_id_\(k)>"] = Int32(segmentable.count)
      segmentable.append(Array("<extra_id_\(k)>".utf8))
      scores.append(0)
    }
    if let exact = try TokenizerFile.scores(in: url.deletingLastPathComponent(), pieces: segmentable) {
      scores = exact
    }
    tokens = segmentable.map { String(decoding: $0, as: UTF8.self) }
    try add(configuration.addedTokens, url: url)
  }

  /// Tokens a folder adds above the sentinels; those it lists below must agree with the pieces.
  private mutating func add(_ added: [Int32: String], url: URL) throws {
    for (id, text) in added.sorted(by: { $0.key < $1.key }) {
      if Int(id) < tokens.count {
        guard tokens[Int(id)] == text else {
          throw TokenizationError.badConfiguration(
            url.deletingLastPathComponent().appendingPathComponent("tokenizer_config.json"),
            reason:
              "added_tokens_decoder: id \(id) is \"\(text)\", but \"\(tokens[Int(id)])\" in spiece.model "
              + "with its sentinels; the two files belong to different tokenizers")
        }
      } else {
        guard Int(id) < tokens.count + 100_000 else {
          throw TokenizationError.badConfiguration(
            url.deletingLastPathComponent().appendingPathComponent("tokenizer_config.json"),
            reason: "added_tokens_decoder: id \(id) is far above the \(tokens.count) ids there are")
        }
        tokens += Array(repeating: "", count: Int(id) - tokens.count) + [text]
      }
      specialTokens[text] = id
    }
  }

  /// A digest of everything that encoding and decoding depend on.
  func identity(characterMap: [UInt8], cleansUpSpaces: Bool) -> String {
    var key = ContentKey()
    key.add("T5Tokenizer 1")
    for (piece, score) in zip(segmentable, scores) {
      piece.withUnsafeBytes { key.add($0) }
      key.add(Int(truncatingIfNeeded: score.bitPattern))
    }
    characterMap.withUnsafeBytes { key.add($0) }
    for (text, id) in specialTokens.sorted(by: { $0.value < $1.value }) {
      key.add(text)
      key.add(Int(id))
    }
    key.add(cleansUpSpaces ? 1 : 0)
    return key.description
  }
}
