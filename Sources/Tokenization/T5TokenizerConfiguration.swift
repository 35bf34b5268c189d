import Foundation

/// What the files of a folder say beyond `spiece.model`; all are optional.
struct T5TokenizerConfiguration {
  /// Number of sentinels `<extra_id_k>` above the pieces.
  var sentinelCount = 100
  /// Whether decoding closes the gaps before punctuation and contractions ("do n't ." → "don't.").
  var cleansUpSpaces = false
  /// Added tokens by ascending id.
  let added: [TokenizerSettings.Listed]
  /// Texts that the files name as special tokens, whatever the flags of the added token.
  let named: Set<[UInt8]>

  /// - Throws: `TokenizationError.badConfiguration`, naming file and key.
  init(folder: URL) throws {
    let mapURL = folder.appendingPathComponent("special_tokens_map.json")
    let configurationURL = folder.appendingPathComponent("tokenizer_config.json")
    let settings = try TokenizerSettings(folder: folder)
    added = settings.listed
    named = Set((Array(settings.roles.values) + settings.extra).map(\.content))
    var sentinels: Set<Int>?
    if let map = try Self.object(at: mapURL) {
      sentinels = Self.sentinels(
        in: (map["additional_special_tokens"] as? [Any] ?? []).compactMap(Self.content))
    }
    if let object = try Self.object(at: configurationURL) {
      if let cleans = object["clean_up_tokenization_spaces"] as? Bool { cleansUpSpaces = cleans }
      if let value = object["extra_ids"], !(value is NSNull) {
        guard let count = value as? Int, (0...10_000).contains(count) else {
          throw TokenizationError.badConfiguration(
            configurationURL, reason: "extra_ids: expected a count, found \(value)")
        }
        sentinelCount = count
        return
      }
    }
    sentinels = Self.sentinels(in: added.map { String(decoding: $0.token.content, as: UTF8.self) }) ?? sentinels
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
