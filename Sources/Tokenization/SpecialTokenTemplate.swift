import Foundation

/// What a post-processor of `tokenizer.json` makes of one text and of two: ids, with placeholders for the texts.
///
/// Source: tokenizers `processors/{bert,roberta,template,sequence}.rs`.
struct SpecialTokenTemplate {
  static let first: Int32 = -1
  static let second: Int32 = -2

  struct Form: Equatable {
    var ids: [Int32]
    /// Token types; nil where the post-processor does not say.
    var types: [Int]?
  }

  private(set) var single = Form(ids: [first])
  private(set) var pair = Form(ids: [first, second])

  /// Whether nothing is put around the texts.
  var isEmpty: Bool { single.ids == [Self.first] && pair.ids == [Self.first, Self.second] }

  /// - Throws: `TokenizationError.badConfiguration` for a type that is not known here.
  init(_ json: ByteJSON?, _ url: URL) throws {
    let steps = json?["processors"]?.elements ?? [json].compactMap { $0 == .null ? nil : $0 }
    for step in steps {
      let made = try Self(step: step, url)
      guard !made.isEmpty else { continue }
      guard isEmpty else {
        throw TokenizationError.badConfiguration(
          url, reason: "post_processor: several that add special tokens are not supported; expected one")
      }
      self = made
    }
  }

  private init(step: ByteJSON, _ url: URL) throws {
    func refuse(_ reason: String) -> TokenizationError {
      .badConfiguration(url, reason: "post_processor\(reason)")
    }
    func id(_ key: String) throws -> Int32 {
      guard let parts = step[key]?.elements, parts.count == 2, case .integer(let id) = parts[1],
        let id = Int32(exactly: id)
      else { throw refuse(".\(key): expected a token and its id, found \(step[key]?.summary ?? "nothing")") }
      return id
    }
    switch step["type"]?.text {
    case "ByteLevel": break
    case "RobertaProcessing":
      let (begin, end) = (try id("cls"), try id("sep"))
      single = Form(ids: [begin, Self.first, end])
      pair = Form(ids: [begin, Self.first, end, end, Self.second, end])
    case "BertProcessing":
      let (begin, end) = (try id("cls"), try id("sep"))
      single = Form(ids: [begin, Self.first, end], types: [0, 0, 0])
      pair = Form(ids: [begin, Self.first, end, Self.second, end], types: [0, 0, 0, 1, 1])
    case "TemplateProcessing":
      single = try Self.form(step["single"], step["special_tokens"], url, key: "single")
      pair = try Self.form(step["pair"], step["special_tokens"], url, key: "pair")
    default: throw refuse(".type: \(step["type"]?.summary ?? "nothing") is not supported")
    }
  }

  /// `[{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]`
  private static func form(_ json: ByteJSON?, _ tokens: ByteJSON?, _ url: URL, key: String) throws -> Form {
    var form = Form(ids: [], types: [])
    for piece in json?.elements ?? [] {
      let item = piece["Sequence"] ?? piece["SpecialToken"]
      var ids: [Int32] = []
      if let name = piece["Sequence"]?["id"]?.text { ids = [name == "A" ? first : second] }
      if let name = piece["SpecialToken"]?["id"]?.text {
        ids = (tokens?[name]?["ids"]?.elements ?? []).compactMap { $0.number.flatMap { Int32(exactly: $0) } }
      }
      guard !ids.isEmpty else {
        throw TokenizationError.badConfiguration(
          url, reason: "post_processor.\(key): expected texts and special tokens with their ids, found \(piece.summary)"
        )
      }
      let type = item?["type_id"]?.number.flatMap { Int(exactly: $0) } ?? 0
      form.ids += ids
      form.types? += ids.map { _ in type }
    }
    return form
  }

  /// The form of a pair, as a message shows it.
  var description: String { Self.text(pair.ids) }

  static func text(_ ids: [Int32]) -> String {
    ids.map { $0 == first ? "A" : $0 == second ? "B" : "\($0)" }.joined(separator: " ")
  }
}
