import Foundation

/// T5's tokenizer: the ids that Hugging Face gives for the same `spiece.model`.
///
/// A text is cut at literal special tokens; each stretch is normalised by the model's character map and
/// split at white space; every word gets a "▁" in front and is segmented on its own; `</s>` closes the
/// sequence. Ids: the pieces (`<pad>` 0, `</s>` 1, `<unk>` 2, …), above them the sentinels `<extra_id_99>` …
/// `<extra_id_0>`, above those whatever the folder adds.
/// Source: transformers `models/t5/tokenization_t5.py`; tokenizers `pre_tokenizers/metaspace.rs`.
public struct T5Tokenizer: Tokenizer {
  public let vocabularyCount: Int
  public let padID: Int32
  public let eosID: Int32
  public let unknownID: Int32
  public let identity: String
  public let url: URL
  /// Number of sentinels.
  public let sentinelCount: Int
  public var maskID: Int32? { nil }
  /// The loaded `spiece.model`; nil where `tokenizer.json` stands alone.
  public let model: SentencePieceModel?

  private let cleansUpSpaces: Bool
  private let characterMap: CharacterMap
  private let segmenter: UnigramSegmenter
  private let added: (raw: AddedTokenMatcher, normalized: AddedTokenMatcher)
  private let firstSentinelID: Int32?
  /// Text of every id; empty for ids that nothing claims.
  private let tokens: [String]
  public let specialIDs: Set<Int32>

  /// Reads `spiece.model` or `tokenizer.json` and, if there, the other, `tokenizer_config.json`, `special_tokens_map.json` and
  /// `added_tokens.json`.
  ///
  /// - Throws: `TokenizationError`.
  public init(folder: URL) throws {
    let configuration = try T5TokenizerConfiguration(folder: folder)
    let pieces = try T5Pieces(folder: folder, configuration)
    (url, model) = (pieces.url, pieces.model)
    guard let map = CharacterMap(bytes: pieces.characterMap) else {
      throw TokenizationError.corruptModel(url, reason: "its normaliser's character map is malformed")
    }
    characterMap = map
    cleansUpSpaces = configuration.cleansUpSpaces

    let vocabulary = try T5Vocabulary(pieces, configuration)
    tokens = vocabulary.tokens
    vocabularyCount = vocabulary.tokens.count
    (padID, eosID, unknownID) = (vocabulary.padID, vocabulary.eosID, vocabulary.unknownID)
    added = (
      AddedTokenMatcher(vocabulary.added, normalized: false),
      AddedTokenMatcher(vocabulary.added, normalized: true) { content in
        var normalized: [UInt8] = []
        content.withUnsafeBufferPointer { map.normalize($0, into: &normalized) }
        return normalized
      }
    )
    // The last of them has the lowest id.
    firstSentinelID = vocabulary.id(of: T5TokenizerConfiguration.sentinel(0))
    let first = firstSentinelID ?? 0
    sentinelCount =
      (0...first).prefix { vocabulary.id(of: T5TokenizerConfiguration.sentinel(Int($0))) == first - $0 }
      .count
    specialIDs = Set(vocabulary.added.filter(\.token.isSpecial).map(\.id))
    let unknown = configuration.settings.followsTokenizerJSON ? pieces.unknownID.map { Int32(clamping: $0) } : nil
    segmenter = UnigramSegmenter(
      pieces: pieces.bytes, scores: pieces.scores, unknownID: unknown ?? vocabulary.unknownID)
    identity = vocabulary.identity(cleansUpSpaces: configuration.cleansUpSpaces)
    try TokenizerRules(configuration.settings)?.requireUnigram(of: self)
  }

  /// The id of `<extra_id_k>`, or nil if there are not so many.
  public func sentinelID(_ k: Int) -> Int32? {
    firstSentinelID.flatMap { (0..<sentinelCount).contains(k) ? $0 - Int32(k) : nil }
  }

  public func tokens(of text: String) -> [Int32] {
    var ids: [Int32] = []
    var normalized: [UInt8] = []
    var word: [UInt8] = []
    var lattice = UnigramSegmenter.Lattice()
    var text = text
    text.withUTF8 { utf8 in
      added.raw.split(utf8) { stretch in
        normalized.removeAll(keepingCapacity: true)
        characterMap.normalize(stretch, into: &normalized)
        normalized.withUnsafeBufferPointer { bytes in
          added.normalized.split(bytes) { part in
            Metaspace.forEachWord(in: part, word: &word) {
              segmenter.segment($0, lattice: &lattice, into: &ids)
            }
          } token: { id in
            ids.append(id)
          }
        }
      } token: { id in
        ids.append(id)
      }
    }
    return ids
  }

  public func assemble(_ first: [Int32], _ second: [Int32]?) -> AssembledTokens {
    guard let second else { return AssembledTokens(ids: first + [eosID]) }
    return AssembledTokens(ids: first + [eosID] + second + [eosID], secondStart: first.count + 1)
  }

  public func decode(_ ids: [Int32], skippingSpecialTokens: Bool) -> String {
    var bytes: [UInt8] = []
    var isFirst = true
    for id in ids where id >= 0 && id < vocabularyCount {
      if skippingSpecialTokens && specialIDs.contains(id) { continue }
      Metaspace.append(tokens[Int(id)], isFirst: isFirst, to: &bytes)
      isFirst = false
    }
    let text = String(decoding: bytes, as: UTF8.self)
    return cleansUpSpaces ? SpaceCleanup.apply(text) : text
  }
}
