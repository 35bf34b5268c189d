import Foundation

/// A vocabulary's pieces together with the tokens that are added to them.
///
/// A token that is a piece keeps its id; the others follow above the pieces.
/// Source: tokenizers `tokenizer/added_vocabulary.rs`; transformers `tokenization_utils_tokenizers.py`.
struct AddedVocabulary: Sendable {
  /// Every token with its id, in the order in which they were added.
  private(set) var tokens: [(token: AddedToken, id: Int32)] = []
  /// Number of ids, pieces and tokens.
  private(set) var count: Int
  private var ids: [TokenizerSettings.Role: Int32] = [:]
  private var known: [[UInt8]: Int32] = [:]

  /// - Parameters:
  ///   - defaults: the special tokens of the family, for roles that the files do not name. A mask is not needed, the
  ///     others have to be pieces or added tokens.
  ///   - url: the file of the pieces, for messages.
  /// - Throws: `TokenizationError.badConfiguration`, `.corruptVocabulary`.
  init(
    pieces: PieceTable, count pieceCount: Int, settings: TokenizerSettings,
    defaults: [TokenizerSettings.Role: AddedToken], family: String, url: URL
  ) throws {
    count = pieceCount
    let named = Set(settings.roles.values.map(\.content) + defaults.values.map(\.content))
    for listed in settings.listed {
      var token = listed.token
      token.isSpecial = token.isSpecial || named.contains(token.content)
      add(token, pieces)
      try check(listed, id: known[token.content], isNew: pieces.id(of: token.content) == nil)
    }
    for role in TokenizerSettings.Role.allCases {
      guard let token = settings.roles[role] ?? defaults[role] else { continue }
      if settings.roles[role] == nil && pieces.id(of: token.content) == nil && known[token.content] == nil {
        guard role != .mask else { continue }
        throw TokenizationError.corruptVocabulary(
          url, reason: "it has no piece \(String(decoding: token.content, as: UTF8.self)), which \(family) needs")
      }
      add(token, pieces)
      ids[role] = known[token.content]
    }
    for token in settings.extra { add(token, pieces) }
  }

  /// Adds a token that is not there yet.
  private mutating func add(_ token: AddedToken, _ pieces: PieceTable) {
    guard known[token.content] == nil else { return }
    let id = pieces.id(of: token.content) ?? Int32(count)
    known[token.content] = id
    tokens.append((token, id))
    count = max(count, Int(id) + 1)
  }

  /// The id that a file gives a token has to be the one that it gets.
  private func check(_ listed: TokenizerSettings.Listed, id: Int32?, isNew: Bool) throws {
    guard let id, listed.id != Int(id) else { return }
    throw TokenizationError.badConfiguration(
      listed.url,
      reason: "the added token \"\(String(decoding: listed.token.content, as: UTF8.self))\" has id \(listed.id), but "
        + (isNew ? "the next id above pieces and tokens is \(id)" : "is id \(id) of the vocabulary")
        + "; the files belong to different tokenizers")
  }

  /// The id of a special token.
  func id(_ role: TokenizerSettings.Role) -> Int32? { ids[role] }

  /// The tokens that are looked for in the text as it stands, or in the normalised text.
  func matcher(normalized: Bool, _ normalize: ([UInt8]) -> [UInt8] = { $0 }) -> AddedTokenMatcher {
    AddedTokenMatcher(tokens, normalized: normalized, normalize)
  }

  /// The ids that are left out when special tokens are skipped.
  var specialIDs: Set<Int32> { Set(tokens.filter(\.token.isSpecial).map(\.id)) }

  /// Adds what ids depend on.
  func add(to key: inout ContentKey) {
    for (token, id) in tokens { token.add(to: &key, id: id) }
    for role in TokenizerSettings.Role.allCases { key.add(Int(ids[role] ?? -1)) }
  }
}
