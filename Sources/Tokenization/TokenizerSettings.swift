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
  /// Special tokens without a role.
  private(set) var extra: [AddedToken] = []
  private let configuration: ByteJSON?

  var configurationURL: URL { folder.appendingPathComponent("tokenizer_config.json") }
  static func tokenizerJSON(in folder: URL) -> URL { folder.appendingPathComponent("tokenizer.json") }

  /// - Throws: `TokenizationError.unreadable`, `.badConfiguration`.
  init(folder: URL) throws {
    self.folder = folder
    let (tokenizerURL, mapURL) = (
      Self.tokenizerJSON(in: folder), folder.appendingPathComponent("special_tokens_map.json")
    )
    tokenizerJSON = try ByteJSON.object(at: tokenizerURL)
    configuration = try ByteJSON.object(at: folder.appendingPathComponent("tokenizer_config.json"))
    if let configuration { try readSpecialTokens(configuration, configurationURL) }
    if let decoder = configuration?["added_tokens_decoder"] {
      try readDecoder(decoder)
    } else {
      if let map = try ByteJSON.object(at: mapURL) { try readSpecialTokens(map, mapURL) }
      try readAddedTokens(folder.appendingPathComponent("added_tokens.json"))
      try readAddedTokens(of: tokenizerJSON, tokenizerURL)
    }
    listed.sort { $0.id < $1.id }
  }

  /// A switch of `tokenizer_config.json`, or nil where it is silent.
  func flag(_ key: String) throws -> Bool? {
    guard let value = configuration?[key], value != .null else { return nil }
    guard let flag = value.bool else {
      throw TokenizationError.badConfiguration(
        configurationURL, reason: "\(key): expected true or false, found \(value.summary)")
    }
    return flag
  }

  /// Whether `tokenizer.json` alone describes the tokenizer: Hugging Face otherwise builds it by the rules of the
  /// family and takes from that file no more than vocabulary, merges and added tokens.
  var followsTokenizerJSON: Bool {
    guard tokenizerJSON != nil, let name = configuration?["tokenizer_class"]?.text else { return false }
    return ["PreTrainedTokenizerFast", "TokenizersBackend"].contains(name)
  }

  private mutating func readSpecialTokens(_ object: ByteJSON, _ url: URL) throws {
    for role in Role.allCases {
      guard let value = object[role.rawValue], value != .null else { continue }
      roles[role] = try Self.token(value, url, key: role.rawValue, isSpecial: true)
    }
    for key in ["additional_special_tokens", "extra_special_tokens"] {
      for value in object[key]?.elements ?? [] {
        extra.append(try Self.token(value, url, key: key, isSpecial: true))
      }
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
