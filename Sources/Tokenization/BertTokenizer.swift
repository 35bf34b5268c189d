import Foundation

/// BERT's tokenizer, cased or uncased: WordPiece over words and punctuation marks.
///
/// A text is cut at added tokens; each stretch is normalised, cut at white space and around punctuation, and every word
/// is covered with pieces. `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`.
/// Source: transformers `models/bert/tokenization_bert.py`.
public struct BertTokenizer: Tokenizer {
  public let vocabularyCount: Int
  public let padID: Int32
  /// `[SEP]`, which ends every text.
  public let eosID: Int32
  public let unknownID: Int32
  public let identity: String
  public let url: URL

  /// What stands in front of pieces inside a word.
  private static let prefix = Array("##".utf8)

  private let classificationID: Int32
  private let normalizer: BertNormalizer
  private let added: (raw: AddedTokenMatcher, normalized: AddedTokenMatcher)
  private let segmenter: WordPieceSegmenter
  /// Text of every id; empty for ids that nothing claims.
  private let texts: [[UInt8]]
  public let maskID: Int32?
  public let specialIDs: Set<Int32>
  private let cleansUpSpaces: Bool

  private static let specialTokens: [TokenizerSettings.Role: AddedToken] = [
    .unknown: AddedToken("[UNK]"), .separator: AddedToken("[SEP]"), .pad: AddedToken("[PAD]"),
    .classification: AddedToken("[CLS]"), .mask: AddedToken("[MASK]"),
  ]

  /// Reads `tokenizer.json` or `vocab.txt`; and, if there, `tokenizer_config.json`, `special_tokens_map.json` and
  /// `added_tokens.json`.
  ///
  /// - Throws: `TokenizationError`.
  public init(folder: URL) throws {
    let settings = try TokenizerSettings(folder: folder)
    let vocabulary = try WordPieceVocabulary(folder: folder, tokenizerJSON: settings.tokenizerJSON)
    let added = try AddedVocabulary(
      pieces: PieceTable(PieceList.numbered(vocabulary.pieces)), count: vocabulary.pieces.count, settings: settings,
      defaults: Self.specialTokens, family: "BERT", url: vocabulary.url)
    url = vocabulary.url
    vocabularyCount = added.count
    unknownID = added.id(.unknown) ?? 0
    padID = added.id(.pad) ?? 0
    eosID = added.id(.separator) ?? 0
    classificationID = added.id(.classification) ?? 0
    let normalizer = try Self.normalizer(settings)
    self.normalizer = normalizer
    func normalized(_ content: [UInt8]) -> [UInt8] {
      var output: [UInt8] = []
      content.withUnsafeBufferPointer { normalizer.normalize($0, into: &output) }
      return output
    }
    self.added = (added.matcher(normalized: false), added.matcher(normalized: true, normalized))
    segmenter = WordPieceSegmenter(pieces: vocabulary.pieces, prefix: Self.prefix, unknownID: unknownID)
    var texts = vocabulary.pieces + Array(repeating: [], count: added.count - vocabulary.pieces.count)
    for (token, id) in added.tokens {
      texts[Int(id)] = token.isNormalized ? normalized(token.content) : token.content
    }
    self.texts = texts
    maskID = added.id(.mask)
    specialIDs = added.specialIDs
    cleansUpSpaces = try settings.flag("clean_up_tokenization_spaces") ?? false
    var key = ContentKey()
    key.add("BertTokenizer 1")
    key.add(vocabulary.pieces.count)
    for piece in vocabulary.pieces { piece.withUnsafeBytes { key.add($0) } }
    added.add(to: &key)
    for flag in [normalizer.lowercases, normalizer.stripsAccents, normalizer.separatesIdeographs, cleansUpSpaces] {
      key.add(flag ? 1 : 0)
    }
    identity = key.description
    let unknown = vocabulary.pieces.indices.contains(Int(unknownID)) ? vocabulary.pieces[Int(unknownID)] : []
    try TokenizerRules(settings)?.requireWordPiece(of: self, unknown: unknown)
  }

  private static func normalizer(_ settings: TokenizerSettings) throws -> BertNormalizer {
    if settings.followsTokenizerJSON, let rule = settings.tokenizerJSON?["normalizer"] {
      let json = rule["normalizers"]?.elements?.first ?? rule
      let lowercases = json["lowercase"]?.bool ?? true
      return BertNormalizer(
        lowercases: lowercases, stripsAccents: json["strip_accents"]?.bool ?? lowercases,
        separatesIdeographs: json["handle_chinese_chars"]?.bool ?? true)
    }
    let lowercases = try settings.flag("do_lower_case") ?? true
    return BertNormalizer(
      lowercases: lowercases, stripsAccents: try settings.flag("strip_accents") ?? lowercases,
      separatesIdeographs: try settings.flag("tokenize_chinese_chars") ?? true)
  }

  public func tokens(of text: String) -> [Int32] {
    var ids: [Int32] = []
    var normalized: [UInt8] = []
    var text = text
    text.withUTF8 { utf8 in
      added.raw.split(utf8) { stretch in
        normalized.removeAll(keepingCapacity: true)
        normalizer.normalize(stretch, into: &normalized)
        normalized.withUnsafeBufferPointer { encode($0, into: &ids) }
      } token: {
        ids.append($0)
      }
    }
    return ids
  }

  private func encode(_ normalized: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    added.normalized.split(normalized) { stretch in
      BertNormalizer.forEachWord(in: stretch) { segmenter.segment($0, into: &ids) }
    } token: {
      ids.append($0)
    }
  }

  public func assemble(_ first: [Int32], _ second: [Int32]?) -> AssembledTokens {
    let beginning = [classificationID] + first + [eosID]
    guard let second else { return AssembledTokens(ids: beginning) }
    return AssembledTokens(ids: beginning + second + [eosID], secondStart: beginning.count)
  }

  /// Pieces with "##" continue the word before them, others follow after a space; the spaces before some punctuation
  /// marks go, and where the folder asks for it those of contractions too.
  public func decode(_ ids: [Int32], skippingSpecialTokens: Bool) -> String {
    var text: [UInt8] = []
    var isFirst = true
    for id in ids where id >= 0 && id < vocabularyCount {
      let token = texts[Int(id)]
      if token.isEmpty || (skippingSpecialTokens && specialIDs.contains(id)) { continue }
      text += isFirst ? token : Self.continuation(token)
      isFirst = false
    }
    let decoded = String(decoding: text, as: UTF8.self)
    return cleansUpSpaces ? SpaceCleanup.apply(decoded) : decoded
  }

  /// Source: tokenizers `decoders/wordpiece.rs`: each token is cleaned up on its own.
  private static func continuation(_ token: [UInt8]) -> [UInt8] {
    if token.starts(with: prefix) { return Array(token.dropFirst(prefix.count)) }
    let spaced = [0x20] + token
    guard let first = token.first, ".?!,'n".utf8.contains(first) || token.contains(0x20) else { return spaced }
    return Array(SpaceCleanup.apply(String(decoding: spaced, as: UTF8.self)).utf8)
  }
}
