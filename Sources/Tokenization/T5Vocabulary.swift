import Foundation

/// The ids of a T5 tokenizer and what each of them means.
///
/// Tokens are added in the order of Hugging Face: those that the files list with an id, the named special tokens, the others.
struct T5Vocabulary {
  /// Text of every id; empty for ids that nothing claims.
  private(set) var tokens: [String]
  /// The tokens recognised literally in a text.
  private(set) var added: [(token: AddedToken, id: Int32)] = []
  private(set) var padID: Int32 = 0
  private(set) var eosID: Int32 = 1
  private(set) var unknownID: Int32 = 2
  private let pieces: T5Pieces
  /// Id of every text.
  private var ids: [[UInt8]: Int32]

  private static let defaults: [TokenizerSettings.Role: AddedToken] = [
    .eos: AddedToken("</s>"), .unknown: AddedToken("<unk>"), .pad: AddedToken("<pad>"),
  ]

  /// - Throws: `TokenizationError.corruptModel` when a token T5 needs is missing, `.badConfiguration`.
  init(_ pieces: T5Pieces, _ configuration: T5TokenizerConfiguration) throws {
    let settings = configuration.settings
    self.pieces = pieces
    tokens = pieces.bytes.map { String(decoding: $0, as: UTF8.self) }
    ids = Dictionary(pieces.bytes.enumerated().map { ($1, Int32($0)) }, uniquingKeysWith: { $1 })
    var roles: [TokenizerSettings.Role: Int32] = [:]
    for role in TokenizerSettings.Role.allCases {
      guard settings.roles[role] == nil, let token = Self.defaults[role] else { continue }
      guard
        let id = ids[token.content]
          ?? settings.listed.first(where: { $0.token.content == token.content })
          .map({ Int32(clamping: $0.id) })
      else {
        throw TokenizationError.corruptModel(
          pieces.url, reason: "it has no piece \(String(decoding: token.content, as: UTF8.self)), which T5 needs")
      }
      roles[role] = id
    }
    let special = Set(
      (Array(settings.roles.values) + Array(Self.defaults.values) + settings.extra).map(\.content))
    for listed in settings.listed { try add(listed, special: special) }
    for role in TokenizerSettings.Role.allCases {
      guard let token = settings.roles[role] ?? Self.defaults[role] else { continue }
      roles[role] = add(token)
    }
    let extra = pieces.model == nil || settings.tokenizerJSON != nil ? settings.extra : settings.extraWithoutLateList
    for token in extra { _ = add(token) }
    // Where a folder lists other special tokens, sentinels are pieces like any other unless it lists them too.
    if !settings.hasExtraList && !settings.followsTokenizerJSON {
      for k in 0..<configuration.sentinelCount {
        _ = add(AddedToken(content: T5TokenizerConfiguration.sentinel(k)))
      }
    }
    (padID, eosID, unknownID) = (roles[.pad] ?? padID, roles[.eos] ?? eosID, roles[.unknown] ?? unknownID)
  }

  /// The id of a text that is a piece or an added token.
  func id(of text: [UInt8]) -> Int32? { ids[text] }

  /// Adds a special token that is not there yet, above all others unless it is a piece.
  private mutating func add(_ token: AddedToken) -> Int32 {
    if let known = added.first(where: { $0.token.content == token.content }) { return known.id }
    let id = ids[token.content] ?? Int32(tokens.count)
    if Int(id) == tokens.count { tokens.append(String(decoding: token.content, as: UTF8.self)) }
    ids[token.content] = id
    added.append((token, id))
    return id
  }

  /// A token that a folder lists with an id: above the pieces, or among them, where it must agree with the pieces.
  private mutating func add(_ listed: TokenizerSettings.Listed, special: Set<[UInt8]>) throws {
    let (id, text) = (listed.id, String(decoding: listed.token.content, as: UTF8.self))
    func refuse(_ reason: String) -> TokenizationError {
      .badConfiguration(listed.url, reason: "the added token \"\(text)\" has id \(id)\(reason)")
    }
    guard id >= 0, id < tokens.count + 100_000 else { throw refuse(", far from the \(tokens.count) ids there are") }
    if id < tokens.count, !tokens[id].isEmpty {
      guard tokens[id].utf8.elementsEqual(listed.token.content) else {
        throw refuse(
          ", but that is \"\(tokens[id])\" in \(pieces.model == nil ? "the vocabulary" : "spiece.model with its sentinels"); "
            + "the two belong to different tokenizers")
      }
    } else {
      tokens += Array(repeating: "", count: max(id - tokens.count, 0))
      if id == tokens.count { tokens.append(text) } else { tokens[id] = text }
    }
    var token = listed.token
    let isSentinel = text.hasPrefix("<extra_id_")
    if special.contains(token.content) || isSentinel {
      // A special token of T5 is one under any flags.
      token.isSpecial = true
      if Self.defaults.values.contains(where: { $0.content == token.content }) || isSentinel {
        token.isNormalized = false
      }
    }
    ids[token.content] = Int32(id)
    added.removeAll { $0.token.content == token.content }
    added.append((token, Int32(id)))
  }

  /// A digest of everything that encoding and decoding depend on.
  func identity(cleansUpSpaces: Bool) -> String {
    var key = ContentKey()
    key.add("T5Tokenizer 3")
    for (piece, score) in zip(pieces.bytes, pieces.scores) {
      piece.withUnsafeBytes { key.add($0) }
      key.add(Int(truncatingIfNeeded: score.bitPattern))
    }
    pieces.characterMap.withUnsafeBytes { key.add($0) }
    for (token, id) in added { token.add(to: &key, id: id) }
    for id in [padID, eosID, unknownID] { key.add(Int(id)) }
    key.add(cleansUpSpaces ? 1 : 0)
    return key.description
  }
}
