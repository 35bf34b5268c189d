import Foundation

/// What a folder says about its tokenizer beside the vocabulary: special tokens, added tokens, switches.
///
/// `added_tokens_decoder` of `tokenizer_config.json` comes first. Without it `special_tokens_map.json`,
/// `added_tokens.json` and the `added_tokens` of `tokenizer.json` count. All files are optional.
/// Source: transformers `tokenization_utils_base.py`, `_from_pretrained`; `tokenization_utils_tokenizers.py`,
/// `__init__`.
struct TokenizerSettings {
  /// What special tokens are for, in the order in which Hugging Face adds them.
  enum Role: String, CaseIterable {
    case bos = "bos_token"
    case eos = "eos_token"
    case unknown = "unk_token"
    case separator = "sep_token"
    case pad = "pad_token"
    case classification = "cls_token"
    case mask = "mask_token"
  }

  /// An added token with the file and the id that it has there.
  struct Listed {
    let token: AddedToken
    let id: Int
    let url: URL
  }

  let folder: URL
  /// `tokenizer.json`, whole.
  let tokenizerJSON: ByteJSON?
  /// Special tokens that the files name.
  private(set) var roles: [Role: AddedToken] = [:]
  /// Added tokens by ascending id.
  private(set) var listed: [Listed] = []
  /// Special tokens under names of their own: keys such as `image_token`, and those of an object `extra_special_tokens`.
  private var named: [AddedToken] = []
  /// The list `extra_special_tokens`, or else `additional_special_tokens`; nil where there is neither.
  private var list: [AddedToken]?
  /// `additional_special_tokens` of `special_tokens_map.json`, or beside an object `extra_special_tokens`: they count where no
  /// other list does.
  private(set) var lateList: [AddedToken] = []
  private let configuration: ByteJSON?
  /// Whether `tokenizer.json` alone describes the tokenizer: Hugging Face otherwise builds it by the rules of the
  /// family and takes from that file no more than vocabulary, merges and added tokens.
  let followsTokenizerJSON: Bool

  var configurationURL: URL { folder.appendingPathComponent("tokenizer_config.json") }
  static func tokenizerJSON(in folder: URL) -> URL { folder.appendingPathComponent("tokenizer.json") }

  /// Special tokens without a role, in the order in which they are added.
  var extra: [AddedToken] { named + (list ?? lateList) }
  /// The same without the late list, which Hugging Face does not add to a `spiece.model`.
  var extraWithoutLateList: [AddedToken] { named + (list ?? []) }
  /// Whether the files list special tokens beyond the named ones.
  var hasExtraList: Bool { list != nil }

  /// - Throws: `TokenizationError.unreadable`, `.badConfiguration`.
  init(folder: URL) throws {
    self.folder = folder
    let (tokenizerURL, mapURL) = (
      Self.tokenizerJSON(in: folder), folder.appendingPathComponent("special_tokens_map.json")
    )
    tokenizerJSON = try ByteJSON.object(at: tokenizerURL)
    configuration = try ByteJSON.object(at: folder.appendingPathComponent("tokenizer_config.json"))
    let name = try TokenizerClass.declared(in: folder)?.name
    followsTokenizerJSON = tokenizerJSON != nil && name.map(TokenizerClass.followFile.contains) ?? false
    if let configuration { try readSpecialTokens(configuration, configurationURL) }
    if let decoder = configuration?["added_tokens_decoder"] {
      try readDecoder(decoder)
    } else {
      if let map = try ByteJSON.object(at: mapURL) { try readSpecialTokens(map, mapURL, isMap: true) }
      try readAddedTokens(folder.appendingPathComponent("added_tokens.json"))
      try readAddedTokens(of: tokenizerJSON, tokenizerURL)
    }
    listed.sort { $0.id < $1.id }
  }

  /// A value of `tokenizer_config.json`, or nil where it is silent.
  func value(_ key: String) -> ByteJSON? { configuration?[key].flatMap { $0 == .null ? nil : $0 } }

  /// A switch of `tokenizer_config.json`, or nil where it is silent.
  func flag(_ key: String) throws -> Bool? {
    guard let value = value(key) else { return nil }
    guard let flag = value.bool else {
      throw TokenizationError.badConfiguration(
        configurationURL, reason: "\(key): expected true or false, found \(value.summary)")
    }
    return flag
  }

  private mutating func readSpecialTokens(_ object: ByteJSON, _ url: URL, isMap: Bool = false) throws {
    for member in object.members ?? [] where member.value != .null {
      let key = String(decoding: member.key, as: UTF8.self)
      if let role = Role(rawValue: key) {
        roles[role] = try Self.token(member.value, url, key: key, isSpecial: true)
      } else if key.hasSuffix("_token"), member.value.bytes != nil || member.value["content"] != nil {
        named.append(try Self.token(member.value, url, key: key, isSpecial: true))
      }
    }
    let extra = "extra_special_tokens"
    for member in object[extra]?.members ?? [] {
      named.append(
        try Self.token(
          member.value, url, key: "\(extra).\(String(decoding: member.key, as: UTF8.self))", isSpecial: true))
    }
    func tokens(_ key: String) throws -> [AddedToken]? {
      try object[key]?.elements?.map { try Self.token($0, url, key: key, isSpecial: true) }
    }
    let (own, additional) = (try tokens(extra), try tokens("additional_special_tokens"))
    if isMap {
      if let own { list = (list ?? []) + own }
      lateList = additional ?? lateList
    } else if object[extra]?.members?.isEmpty == false {
      lateList = additional ?? []
    } else {
      list = own?.isEmpty == false ? own : additional ?? own
    }
  }

  private mutating func readDecoder(_ decoder: ByteJSON) throws {
    for member in decoder.members ?? [] {
      let key = String(decoding: member.key, as: UTF8.self)
      guard let id = Int(key) else {
        throw TokenizationError.badConfiguration(
          configurationURL, reason: "added_tokens_decoder: expected ids as keys, found \"\(key)\"")
      }
      let token = try Self.token(
        member.value, configurationURL, key: "added_tokens_decoder, \(key)", isSpecial: false)
      listed.append(Listed(token: token, id: id, url: configurationURL))
    }
  }

  /// `added_tokens.json`: ids by text; what is no special token is looked for in the normalised text.
  private mutating func readAddedTokens(_ url: URL) throws {
    for member in try ByteJSON.object(at: url)?.members ?? [] {
      guard case .integer(let id) = member.value, !member.key.isEmpty else {
        throw TokenizationError.badConfiguration(
          url, reason: "expected ids by text, found \(member.value.summary)")
      }
      let isSpecial = (Array(roles.values) + extra).contains { $0.content == member.key }
      listed.append(
        Listed(
          token: AddedToken(content: member.key, isNormalized: !isSpecial, isSpecial: isSpecial), id: id, url: url))
    }
  }

  private mutating func readAddedTokens(of file: ByteJSON?, _ url: URL) throws {
    for value in file?["added_tokens"]?.elements ?? [] {
      guard case .integer(let id) = value["id"] else {
        throw TokenizationError.badConfiguration(url, reason: "added_tokens: expected tokens with an id")
      }
      let token = try Self.token(value, url, key: "added_tokens, \(id)", isSpecial: false)
      listed.removeAll { $0.id == id }
      listed.append(Listed(token: token, id: id, url: url))
    }
  }

  private static func token(_ json: ByteJSON, _ url: URL, key: String, isSpecial: Bool) throws -> AddedToken {
    guard let token = AddedToken(json, isSpecial: isSpecial) else {
      throw TokenizationError.badConfiguration(
        url, reason: "\(key): expected a text or an object with a content, found \(json.summary)")
    }
    return token
  }
}
