import Foundation

/// What `tokenizer_config.json` and `special_tokens_map.json` say beyond `spiece.model`; both files are
/// optional.
struct T5TokenizerConfiguration: Sendable, Equatable {
  /// Number of sentinels `<extra_id_k>` above the pieces.
  var sentinelCount = 100
  /// Whether decoding closes the gaps before punctuation and contractions ("do n't ." → "don't.").
  var cleansUpSpaces = false
  /// Special tokens by id, as `added_tokens_decoder` lists them.
  var addedTokens: [Int32: String] = [:]

  /// - Throws: `TokenizationError.badConfiguration`, naming file and key.
  init(folder: URL) throws {
    let mapURL = folder.appendingPathComponent("special_tokens_map.json")
    let configurationURL = folder.appendingPathComponent("tokenizer_config.json")
    var sentinels: Set<Int>?
    if let map = try Self.object(at: mapURL) {
      sentinels = Self.sentinels(
        in: (map["additional_special_tokens"] as? [Any] ?? []).compactMap(Self.content))
    }
    if let object = try Self.object(at: configurationURL) {
      if let cleans = object["clean_up_tokenization_spaces"] as? Bool { cleansUpSpaces = cleans }
      for (key, value) in object["added_tokens_decoder"] as? [String: Any] ?? [:] {
        guard let id = Int32(key), id >= 0, let content = Self.content(value), !content.isEmpty else {
          throw TokenizationError.badConfiguration(
            configurationURL, reason: "added_tokens_decoder: entry \"\(key)\" is not an id with a content")
        }
        addedTokens[id] = content
      }
      sentinels = Self.sentinels(in: Array(addedTokens.values)) ?? sentinels
      if let value = object["extra_ids"], !(value is NSNull) {
        guard let count = value as? Int, (0...10_000).contains(count) else {
          throw TokenizationError.badConfiguration(
            configurationURL, reason: "extra_ids: expected a count, found \(value)")
        }
        sentinelCount = count
        return
      }
    }
    if let sentinels { sentinelCount = sentinels.count }
  }

  /// Numbers k of the `<extra_id_k>` among `tokens`; nil if there are none.
  private static func sentinels(in tokens: [String]) -> Set<Int>? {
    let numbers = tokens.compactMap { token -> Int? in
      guard token.hasPrefix("<extra_id_"), token.hasSuffix(">") else { return nil }
      return Int(token.dropFirst("<extra_id_".count).dropLast())
    }
    return numbers.isEmpty ? nil : Set(numbers)
  }

  /// A token is written as its text or as an object with a `content`.
  private static func content(_ value: Any) -> String? {
    value as? String ?? (value as? [String: Any])?["content"] as? String
  }

  private static func object(at url: URL) throws -> [String: Any]? {
    guard FileManager.default.fileExists(atPath: url.path) else { return nil }
    let data: Data
    do { data = try Data(contentsOf: url) } catch {
      throw TokenizationError.unreadable(url, reason: error.localizedDescription)
    }
    guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
      throw TokenizationError.badConfiguration(url, reason: "expected a JSON object")
    }
    return object
  }
}
