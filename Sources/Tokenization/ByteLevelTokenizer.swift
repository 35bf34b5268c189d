import Foundation

/// The tokenizers of GPT-2 and RoBERTa: byte-level BPE.
///
/// A text is cut at added tokens; each stretch is cut into words by `ByteLevelWords`; the bytes of every word are
/// merged on their own. Nearly all words of a text are pieces that merging arrives at: they are looked up whole, which
/// needs no cache and no lock. GPT-2 puts nothing around a text, RoBERTa `<s> A </s>` and `<s> A </s></s> B </s>`.
/// Source: transformers `models/gpt2/tokenization_gpt2.py`, `models/roberta/tokenization_roberta.py`.
public struct ByteLevelTokenizer: Tokenizer {
  public let vocabularyCount: Int
  public let padID: Int32
  public let eosID: Int32
  public let unknownID: Int32
  public let identity: String
  public let url: URL

  private let family: ByteLevelFamily
  private let classificationID: Int32
  private let separatorID: Int32
  private let addsPrefixSpace: Bool
  private let added: (raw: AddedTokenMatcher, normalized: AddedTokenMatcher)
  private let segmenter: BPESegmenter
  /// The words whose merges end in one piece.
  private let words: PieceTable
  /// The bytes that each id stands for.
  private let bytes: [[UInt8]]
  public let maskID: Int32?
  public let specialIDs: Set<Int32>

  /// Reads `tokenizer.json`, or `vocab.json` with `merges.txt`; and, if there, `tokenizer_config.json`,
  /// `special_tokens_map.json` and `added_tokens.json`.
  ///
  /// - Throws: `TokenizationError`.
  init(folder: URL, family: ByteLevelFamily) throws {
    let settings = try TokenizerSettings(folder: folder)
    let vocabulary = try BPEVocabulary(
      folder: folder, tokenizerJSON: settings.tokenizerJSON, family: family.rawValue)
    let added = try AddedVocabulary(
      pieces: vocabulary.table, count: vocabulary.pieces.count, settings: settings, defaults: family.specialTokens,
      family: family.rawValue, url: vocabulary.url)
    try vocabulary.requireMerges(for: Set(added.tokens.map(\.token.content)))
    self.family = family
    url = vocabulary.url
    addsPrefixSpace = try Self.addsPrefixSpace(settings)
    vocabularyCount = added.count
    eosID = added.id(.eos) ?? 0
    unknownID = added.id(.unknown) ?? eosID
    padID = added.id(.pad) ?? eosID
    classificationID = added.id(.classification) ?? eosID
    separatorID = added.id(.separator) ?? eosID
    self.added = (added.matcher(normalized: false), added.matcher(normalized: true))
    maskID = added.id(.mask)
    specialIDs = added.specialIDs

    let idOfByte = (0..<256).map { vocabulary.table.id(of: ByteAlphabet.encode(UInt8($0))) ?? -1 }
    segmenter = BPESegmenter(merges: vocabulary.merges, idOfByte: idOfByte)
    words = Self.words(vocabulary, segmenter)
    var texts = vocabulary.pieces + Array(repeating: [], count: added.count - vocabulary.pieces.count)
    for (token, id) in added.tokens { texts[Int(id)] = token.content }
    bytes = texts.map { ByteAlphabet.decode($0) ?? $0 }
    identity = Self.identity(vocabulary, added, family, addsPrefixSpace: addsPrefixSpace)
    try TokenizerRules(settings)?.requireByteLevelBPE(of: self, lacksBytes: idOfByte.contains(-1))
  }

  private static func addsPrefixSpace(_ settings: TokenizerSettings) throws -> Bool {
    // Hugging Face does not look at them where there is a tokenizer.json.
    for key in ["add_bos_token", "add_eos_token"]
    where try settings.flag(key) == true && settings.tokenizerJSON == nil {
      throw TokenizationError.badConfiguration(
        settings.configurationURL, reason: "\(key): texts with such a token are not supported; set it to false")
    }
    if settings.followsTokenizerJSON {
      let rule = settings.tokenizerJSON?["pre_tokenizer"]
      return (rule?["pretokenizers"]?.elements?.first ?? rule)?["add_prefix_space"]?.bool ?? false
    }
    return try settings.flag("add_prefix_space") ?? false
  }

  private static func words(_ vocabulary: BPEVocabulary, _ segmenter: BPESegmenter) -> PieceTable {
    var workspace = BPESegmenter.Workspace()
    var ids: [Int32] = []
    return PieceTable(
      PieceList.numbered(vocabulary.pieces).compactMap { piece, id in
        guard let word = ByteAlphabet.decode(piece) else { return nil }
        ids.removeAll(keepingCapacity: true)
        word.withUnsafeBufferPointer { segmenter.segment($0, &workspace, into: &ids) }
        return ids == [id] ? (word, id) : nil
      })
  }

  public func tokens(of text: String) -> [Int32] {
    var ids: [Int32] = []
    var workspace = BPESegmenter.Workspace()
    var text = text
    text.withUTF8 { utf8 in
      added.raw.split(utf8) { stretch in
        added.normalized.split(stretch) {
          encode($0, &workspace, into: &ids)
        } token: {
          ids.append($0)
        }
      } token: {
        ids.append($0)
      }
    }
    return ids
  }

  private func encode(
    _ stretch: UnsafeBufferPointer<UInt8>, _ workspace: inout BPESegmenter.Workspace, into ids: inout [Int32]
  ) {
    guard !addsPrefixSpace || stretch.first == 0x20 else {
      ([0x20] + stretch).withUnsafeBufferPointer { encodeWords(of: $0, &workspace, into: &ids) }
      return
    }
    encodeWords(of: stretch, &workspace, into: &ids)
  }

  private func encodeWords(
    of text: UnsafeBufferPointer<UInt8>, _ workspace: inout BPESegmenter.Workspace, into ids: inout [Int32]
  ) {
    ByteLevelWords.forEach(in: text) { word in
      if let id = words.id(of: word) { ids.append(id) } else { segmenter.segment(word, &workspace, into: &ids) }
    }
  }

  public func assemble(_ first: [Int32], _ second: [Int32]?) -> AssembledTokens {
    switch (family, second) {
    case (.gpt2, nil): AssembledTokens(ids: first)
    case (.gpt2, let second?): AssembledTokens(ids: first + second, secondStart: first.count)
    case (.roberta, nil): AssembledTokens(ids: [classificationID] + first + [separatorID])
    case (.roberta, let second?):
      AssembledTokens(
        ids: [classificationID] + first + [separatorID, separatorID] + second + [separatorID],
        secondStart: first.count + 3)
    }
  }

  /// Bytes that are no UTF-8 print as U+FFFD.
  public func decode(_ ids: [Int32], skippingSpecialTokens: Bool) -> String {
    var text: [UInt8] = []
    for id in ids where id >= 0 && id < vocabularyCount {
      if skippingSpecialTokens && specialIDs.contains(id) { continue }
      text += bytes[Int(id)]
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static func identity(
    _ vocabulary: BPEVocabulary, _ added: AddedVocabulary, _ family: ByteLevelFamily, addsPrefixSpace: Bool
  ) -> String {
    var key = ContentKey()
    key.add("ByteLevelTokenizer 1 \(family.rawValue)")
    key.add(vocabulary.pieces.count)
    for piece in vocabulary.pieces { piece.withUnsafeBytes { key.add($0) } }
    vocabulary.merges.add(to: &key)
    added.add(to: &key)
    key.add(addsPrefixSpace ? 1 : 0)
    return key.description
  }
}
