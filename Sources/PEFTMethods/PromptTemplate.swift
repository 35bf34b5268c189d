import Checkpoints
import NN

/// Virtual tokens and fixed anchor words around the input, such as `[P3] {text} [P2] sentiment [P2] ?` or, for a pair,
/// `[P3] {sentence1} [P2] same as [P2] {sentence2} ?` (Liu et al. 2021, §3.2: `[P_0:i], x, [P_i+1:m], y`, anchors §3.2 "anchor
/// tokens"). Special tokens in front of and behind the input stay at the very beginning and end; those between the texts of a
/// pair are left out where the template names both.
public struct PromptTemplate: Sendable, Equatable {
  public enum Part: Sendable, Equatable {
    /// The next so many virtual tokens.
    case virtual(Int)
    /// The whole input, without the special tokens around it.
    case text
    /// The first and the second text of a pair.
    case first, second
    /// Frozen embeddings of these ids.
    case anchor(ids: [Int32])
  }

  /// As the user wrote it.
  public let description: String
  public let parts: [Part]

  public var virtualTokenCount: Int {
    parts.reduce(0) { if case .virtual(let count) = $1 { $0 + min(count, 1 << 16) } else { $0 } }
  }

  public var anchorIDs: [Int32] {
    parts.flatMap { part -> [Int32] in if case .anchor(let ids) = part { ids } else { [] } }
  }

  /// Whether it wants the two texts of a pair.
  public var isOfPair: Bool { parts.contains(.first) }

  /// - Parameter ids: ids of words, without special tokens.
  /// Throws: `MethodError.badOption` without just one `{text}` or one pair of sentences, or without virtual tokens.
  public init(_ text: String, ids: (String) -> [Int32]) throws {
    var parts: [Part] = []
    var rest = text[...]
    func anchor(_ words: Substring) -> [Part] {
      let own = words.allSatisfy(\.isWhitespace) ? [] : ids(String(words))
      return own.isEmpty ? [] : [.anchor(ids: own)]
    }
    while let match = rest.firstMatch(of: /\[P(\d+)\]|\{(text|sentence1|sentence2)\}/) {
      parts += anchor(rest[..<match.range.lowerBound])
      let names: [String: Part] = ["text": .text, "sentence1": .first, "sentence2": .second]
      parts.append(match.1.map { .virtual(Int($0) ?? .max) } ?? names[String(match.2 ?? "")] ?? .text)
      rest = rest[match.range.upperBound...]
    }
    try self.init(text, parts: parts + anchor(rest))
  }

  private init(_ text: String, parts: [Part]) throws {
    description = text
    self.parts = parts
    let inputs = parts.filter { [.text, .first, .second].contains($0) }
    guard
      inputs == [.text] || Set(inputs.map { $0 == .first }).count == 2 && inputs.count == 2 && !inputs.contains(.text),
      virtualTokenCount > 0, virtualTokenCount < 1 << 16
    else {
      throw MethodError.badOption(
        option: "--prompt-template", value: "'\(text)'",
        expected: "{text}, or {sentence1} and {sentence2}, once and virtual tokens, such as "
          + "'[P3] {text} [P2] sentiment ?'")
    }
  }

  // MARK: adapter_config.json

  var json: JSON {
    .array(
      parts.map { part in
        switch part {
        case .virtual(let count): ["virtual_tokens": .integer(count)]
        case .text: "text"
        case .first: "sentence1"
        case .second: "sentence2"
        case .anchor(let ids): ["token_ids": .array(ids.map { .integer(Int($0)) })]
        }
      })
  }

  init(_ config: JSONObject, vocabularySize: Int) throws {
    let parts = try config.array("prompt_template_parts").map { part -> Part in
      switch part {
      case .string("text"): return .text
      case .string("sentence1"): return .first
      case .string("sentence2"): return .second
      case .object(let members):
        let own = JSONObject(members, origin: config.origin)
        if let ids = try own.optionalInts("token_ids") {
          guard ids.allSatisfy({ (0..<vocabularySize).contains($0) }) else {
            throw own.error("token_ids", expected: "ids below \(vocabularySize)")
          }
          return .anchor(ids: ids.map { Int32($0) })
        }
        return .virtual(try own.int("virtual_tokens", in: 0...65_535))
      default:
        throw config.error("prompt_template_parts", expected: "objects, and 'text' or 'sentence1' and 'sentence2'")
      }
    }
    try self.init(config.string("prompt_template"), parts: parts)
  }
}
