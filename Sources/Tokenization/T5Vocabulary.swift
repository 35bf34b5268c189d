import Foundation

/// The ids of a T5 tokenizer and what each of them means.
struct T5Vocabulary {
  /// Text of every id; empty for ids that nothing claims.
  private(set) var tokens: [String]
  /// UTF-8 and log-probabilities of what words are made of: the pieces, and the sentinels at 0 as Hugging
  /// Face has it.
  private(set) var segmentable: [[UInt8]]
  private(set) var scores: [Double]
  /// The tokens recognised literally in a text.
  private(set) var added: [(token: AddedToken, id: Int32)]
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
    added = [("<pad>", padID), ("</s>", eosID), ("<unk>", unknownID)].map { (AddedToken($0), $1) }
    segmentable = (0..<Int32(model.count)).map(model.pieceBytes)
    scores = (0..<Int32(model.count)).map { Double(model.score($0)) }
    for k in (0..<configuration.sentinelCount).reversed() {
      added.append((AddedToken("<extra_id_\(k)>"), Int32(segmentable.count)))
      segmentable.append(Array("<extra_id_\(k)>".utf8))
      scores.append(0)
    }
    if let exact = try TokenizerFile.scores(in: url.deletingLastPathComponent(), pieces: segmentable) {
      scores = exact
    }
    tokens = segmentable.map { String(decoding: $0, as: UTF8.self) }
    for listed in configuration.added { try add(listed, named: configuration.named) }
  }

  /// A token that a folder adds above the sentinels, or lists below them, where it must agree with the pieces.
  private mutating func add(_ listed: TokenizerSettings.Listed, named: Set<[UInt8]>) throws {
    let (id, text) = (listed.id, String(decoding: listed.token.content, as: UTF8.self))
    func refuse(_ reason: String) -> TokenizationError {
      .badConfiguration(listed.url, reason: "the added token \"\(text)\" has id \(id)\(reason)")
    }
    guard id >= 0, id < tokens.count + 100_000 else { throw refuse(", far from the \(tokens.count) ids there are") }
    if id < tokens.count {
      guard tokens[id] == text else {
        throw refuse(
          ", but that is \"\(tokens[id])\" in spiece.model with its sentinels; the two files belong to different tokenizers"
        )
      }
    } else {
      tokens += Array(repeating: "", count: id - tokens.count) + [text]
    }
    var token = listed.token
    if let known = added.firstIndex(where: { $0.token.content == token.content }) {
      // A special token of T5 is one under any flags.
      token.isSpecial = true
      token.isNormalized = false
      added[known] = (token, Int32(id))
    } else {
      token.isSpecial = token.isSpecial || named.contains(token.content)
      added.append((token, Int32(id)))
    }
  }

  /// A digest of everything that encoding and decoding depend on.
  func identity(characterMap: [UInt8], cleansUpSpaces: Bool) -> String {
    var key = ContentKey()
    key.add("T5Tokenizer 2")
    for (piece, score) in zip(segmentable, scores) {
      piece.withUnsafeBytes { key.add($0) }
      key.add(Int(truncatingIfNeeded: score.bitPattern))
    }
    characterMap.withUnsafeBytes { key.add($0) }
    for (token, id) in added { token.add(to: &key, id: id) }
    key.add(cleansUpSpaces ? 1 : 0)
    return key.description
  }
}
