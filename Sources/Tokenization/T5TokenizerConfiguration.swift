import Foundation

/// What the files of a folder say beyond the pieces; all are optional.
struct T5TokenizerConfiguration {
  let settings: TokenizerSettings
  /// Number of sentinels `<extra_id_k>` that belong to a `spiece.model`, which does not have them.
  let sentinelCount: Int
  /// Whether decoding closes the gaps before punctuation and contractions ("do n't ." → "don't.").
  let cleansUpSpaces: Bool

  /// - Throws: `TokenizationError.badConfiguration`, naming file and key.
  init(folder: URL) throws {
    settings = try TokenizerSettings(folder: folder)
    cleansUpSpaces = try settings.flag("clean_up_tokenization_spaces") ?? false
    let listed = settings.listed.map(\.token.content)
    sentinelCount =
      try Self.stated(settings) ?? Self.count(listed) ?? Self.count(settings.lateList.map(\.content)) ?? 100
  }

  /// The text of a sentinel.
  static func sentinel(_ k: Int) -> [UInt8] { Array("<extra_id_\(k)>".utf8) }

  /// `extra_ids`.
  private static func stated(_ settings: TokenizerSettings) throws -> Int? {
    guard let value = settings.value("extra_ids") else { return nil }
    guard case .integer(let count) = value, (0...10_000).contains(count) else {
      throw TokenizationError.badConfiguration(
        settings.configurationURL, reason: "extra_ids: expected a count, found \(value.summary)")
    }
    return count
  }

  /// How many sentinels there are among `tokens`; nil if there are none.
  private static func count(_ tokens: [[UInt8]]) -> Int? {
    let numbers = tokens.compactMap { token -> Int? in
      let text = String(decoding: token, as: UTF8.self)
      guard text.hasPrefix("<extra_id_"), text.hasSuffix(">") else { return nil }
      return Int(text.dropFirst("<extra_id_".count).dropLast())
    }
    return numbers.isEmpty ? nil : Set(numbers).count
  }
}
