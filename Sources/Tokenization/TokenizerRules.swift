import Foundation

/// What `tokenizer.json` asks for beyond vocabulary, merges and added tokens, compared with what a family does here. Whatever is
/// not implemented is refused under its key.
///
/// A class of transformers that is named for the folder builds the rules of its family itself; then the file may leave them out,
/// and options that the class takes from `tokenizer_config.json` are not looked at.
struct TokenizerRules {
  private let json: ByteJSON
  private let url: URL
  /// Whether the file alone describes the tokenizer.
  private let isWhole: Bool

  /// Nil where there is no `tokenizer.json`.
  init?(_ settings: TokenizerSettings) {
    guard let json = settings.tokenizerJSON else { return nil }
    self.json = json
    url = TokenizerSettings.tokenizerJSON(in: settings.folder)
    isWhole = settings.followsTokenizerJSON
  }

  /// Whether a post-processor puts special tokens around texts as RoBERTa does: `<s> A </s>` and `<s> A </s> </s> B </s>`.
  static func isLikeRoBERTa(_ json: ByteJSON) -> Bool {
    guard let template = try? SpecialTokenTemplate(json["post_processor"], URL(filePath: "/")),
      template.single.ids.count == 3
    else { return false }
    let (begin, end) = (template.single.ids[0], template.single.ids[2])
    let (first, second) = (SpecialTokenTemplate.first, SpecialTokenTemplate.second)
    return template.single.ids == [begin, first, end] && template.pair.ids == [begin, first, end, end, second, end]
  }

  // MARK: Families

  /// - Throws: `TokenizationError.badConfiguration` naming file, key and value.
  func requireByteLevelBPE(of tokenizer: some Tokenizer, lacksBytes: Bool) throws {
    let byteLevel = Form("ByteLevel", ["use_regex": [.bool(true)]])
    try require("normalizer", [], mayBeAbsent: true)
    try require("pre_tokenizer", [[byteLevel]])
    try require("decoder", [[Form("ByteLevel")]])
    let none = [ByteJSON.null, .text("")]
    try requireOptions(
      "model", json["model"],
      [
        "dropout": [.null, .double(0), .integer(0)], "continuing_subword_prefix": none, "end_of_word_suffix": none,
        "byte_fallback": [.bool(false)], "ignore_merges": [.bool(false)],
      ])
    if isWhole, lacksBytes { try requireOptions("model", json["model"], ["unk_token": [.null]]) }
    try requireTemplate(of: tokenizer)
  }

  func requireWordPiece(of tokenizer: some Tokenizer, unknown: [UInt8]) throws {
    try require("normalizer", [[Form("BertNormalizer", ["clean_text": [.bool(true)]])]])
    try require("pre_tokenizer", [[Form("BertPreTokenizer")]])
    try require(
      "decoder", [[Form("WordPiece", ["prefix": [.text("##")], "cleanup": [.bool(true)]])]])
    try requireOptions(
      "model", json["model"],
      ["continuing_subword_prefix": [.text("##")], "max_input_chars_per_word": [.integer(100)]])
    if isWhole { try requireOptions("model", json["model"], ["unk_token": [.string(unknown)]]) }
    try requireTemplate(of: tokenizer, hasTypes: true)
  }

  func requireUnigram(of tokenizer: some Tokenizer) throws {
    let metaspace = Form(
      "Metaspace",
      [
        "replacement": [.text("▁")], "add_prefix_space": [.bool(true)],
        "prepend_scheme": isWhole ? [.text("always")] : [.text("always"), .text("first")], "split": [.bool(true)],
      ])
    let map = Form("Precompiled")
    let spaces = Form("Replace", ["pattern": [.object([.init(key: Array("Regex".utf8), value: .text(" {2,}"))])]])
    let strip = Form("Strip", ["strip_left": [.bool(false)]])
    // Where a class builds the tokenizer, double spaces and those at the end make no words anyway.
    let lenient = [[map], [map, spaces], [spaces], [map, strip, spaces], [strip, spaces]]
    try require("normalizer", isWhole ? [[map]] : lenient, mayBeAbsent: true)
    let words = Form("WhitespaceSplit")
    try require("pre_tokenizer", isWhole ? [[words, metaspace]] : [[words, metaspace], [metaspace]])
    try require("decoder", [[metaspace]])
    try requireOptions("model", json["model"], ["byte_fallback": [.bool(false)]])
    try requireTemplate(of: tokenizer)
  }

  // MARK: Rules

  /// One rule: its type, and for options that matter the values that are implemented.
  private struct Form {
    let type: String
    let options: [String: [ByteJSON]]

    init(_ type: String, _ options: [String: [ByteJSON]] = [:]) {
      self.type = type
      self.options = options
    }
  }

  private static let listKeys = ["normalizers", "pretokenizers", "decoders"]

  /// - Parameters:
  ///   - forms: sequences of rules that are implemented.
  ///   - mayBeAbsent: whether no rule is implemented as well.
  private func require(_ key: String, _ forms: [[Form]], mayBeAbsent: Bool = false) throws {
    let steps = Self.steps(json[key], key)
    guard !steps.isEmpty else {
      if mayBeAbsent || !isWhole { return }
      throw refuse(key, "null", Self.names(forms))
    }
    let types = steps.map { $0.rule["type"]?.text ?? "" }
    guard let form = forms.first(where: { $0.map(\.type) == types }) else {
      let known = Set(forms.flatMap { $0.map(\.type) })
      let stranger = steps.first { !known.contains($0.rule["type"]?.text ?? "") }
      guard let stranger else { throw refuse(key, types.joined(separator: ", "), Self.names(forms)) }
      throw refuse("\(stranger.key).type", stranger.rule["type"]?.summary ?? "nothing", Self.names(forms))
    }
    for (step, form) in zip(steps, form) { try requireOptions(step.key, step.rule, form.options) }
  }

  private func requireOptions(_ key: String, _ rule: ByteJSON?, _ options: [String: [ByteJSON]]) throws {
    for (option, values) in options.sorted(by: { $0.key < $1.key }) {
      guard let value = rule?[option], !values.contains(value) else { continue }
      throw refuse("\(key).\(option)", value.summary, values.map(\.summary).joined(separator: " or "))
    }
  }

  /// The rules of a value, those of sequences one by one, with the key of each.
  private static func steps(_ value: ByteJSON?, _ key: String) -> [(key: String, rule: ByteJSON)] {
    guard let value, value != .null else { return [] }
    for list in listKeys {
      guard value["type"]?.text == "Sequence", let parts = value[list]?.elements else { continue }
      return parts.enumerated().flatMap { steps($1, "\(key).\(list)[\($0)]") }
    }
    return [(key, value)]
  }

  private static func names(_ forms: [[Form]]) -> String {
    let names = forms.map { $0.map(\.type).joined(separator: " and ") }
    return names.isEmpty ? "null" : names.joined(separator: ", or ")
  }

  private func refuse(_ key: String, _ found: String, _ expected: String) -> TokenizationError {
    .badConfiguration(
      url, reason: "\(key): \(found) is not supported for this kind of vocabulary; expected \(expected)")
  }

  // MARK: Special tokens

  /// The special tokens that the file puts around texts have to be those of the family.
  ///
  /// - Parameter hasTypes: whether a model of the family reads token types.
  private func requireTemplate(of tokenizer: some Tokenizer, hasTypes: Bool = false) throws {
    let key = "post_processor"
    let template = try SpecialTokenTemplate(json[key], url)
    guard isWhole || !template.isEmpty else { return }
    let (first, second) = (SpecialTokenTemplate.first, SpecialTokenTemplate.second)
    let own = (tokenizer.assemble([first], nil), tokenizer.assemble([first], [second]))
    // A class takes the special tokens from tokenizer_config.json, but where it puts none, as GPT-2's, those of the file.
    func form(_ ids: [Int32]) -> [Int32] { isWhole ? ids : ids.map { min($0, 0) } }
    guard form(template.single.ids) == form(own.0.ids), form(template.pair.ids) == form(own.1.ids) else {
      throw refuse(
        key, "\(json[key]?["type"]?.summary ?? "null"), which makes \(template.description) of A and B",
        SpecialTokenTemplate.text(own.1.ids))
    }
    guard hasTypes, let types = template.pair.types else { return }
    let expected = own.1.ids.indices.map { $0 < own.1.secondStart ? 0 : 1 }
    guard types == expected else { throw refuse(key, "token types \(types)", "\(expected)") }
  }
}
