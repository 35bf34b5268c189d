import Checkpoints
import Foundation
import Tokenization

/// Special tokens around texts and pairs, truncation, padding, token types.
extension TokenizerReplay {
  /// `pairs` and `batches` of the reference, where it has them.
  static func sequences(_ json: JSONObject, _ tokenizer: any Tokenizer) throws -> [Finding] {
    var (pairs, types) = (Finding("pairs"), Finding("token types"))
    for (row, entry) in try json.optionalObjects("pairs").enumerated() {
      let found = try pair(entry, tokenizer)
      guard try entry.optionalString("error") == nil else {
        pairs.compare(exactly: found, nil, at: "pair \(row), which the reference refuses")
        continue
      }
      pairs.compare(exactly: found?.ids, try numbers(entry, "input_ids"), at: "pair \(row)")
      pairs.compare(exactly: found?.mask, try numbers(entry, "attention_mask"), at: "mask of pair \(row)")
      if entry["token_type_ids"] != nil {
        types.compare(exactly: found?.types, try numbers(entry, "token_type_ids"), at: "pair \(row)")
      }
    }
    var batches = Finding("batches")
    for (row, entry) in try json.optionalObjects("batches").enumerated() {
      let found = try batch(entry, tokenizer)
      let expected = try (entry.integerLists("input_ids"), entry.integerLists("attention_mask"))
      batches.compare(exactly: found.map { $0.ids.map(Int.init) }, expected.0, at: "batch \(row)")
      batches.compare(exactly: found.map { $0.mask.map(Int.init) }, expected.1, at: "masks of batch \(row)")
    }
    return [pairs, types, batches].filter { $0.comparedCount > 0 }
  }

  private static func numbers(_ json: JSONObject, _ key: String) throws -> [Int32] {
    try json.ints(key).map { Int32(clamping: $0) }
  }

  /// What a model reads, padded to a length.
  private struct Padded: Equatable {
    let ids: [Int32]
    let mask: [Int32]
    let types: [Int32]

    init(_ tokens: AssembledTokens, to length: Int, padID: Int32) {
      let padding = max(length - tokens.ids.count, 0)
      ids = tokens.ids + Array(repeating: padID, count: padding)
      mask = Array(repeating: 1, count: tokens.ids.count) + Array(repeating: 0, count: padding)
      types =
        Array(repeating: 0, count: tokens.secondStart)
        + Array(repeating: 1, count: tokens.ids.count - tokens.secondStart) + Array(repeating: 0, count: padding)
    }
  }

  /// What the arguments of a call in the reference ask for.
  private struct Arguments {
    let truncation: PairTruncation?
    let length: Int?
    let padsToLength: Bool

    init(_ json: JSONObject) throws {
      length = try json.optionalInt("max_length")
      padsToLength = json["padding"] == .string("max_length")
      switch json["truncation"] {
      case nil, .bool(false): truncation = nil
      case .bool(true): truncation = .longestFirst
      case .string(let name):
        guard let known = PairTruncation(rawValue: name) else { throw NotSupported(reason: "truncation \(name)") }
        truncation = known
      default: throw json.error("truncation", expected: "true, false or a name")
      }
    }

    /// Nil where the text that may be cut is too short for it.
    func truncated(_ first: [Int32], _ second: [Int32]?, _ tokenizer: any Tokenizer) -> AssembledTokens? {
      guard let truncation, let length else { return tokenizer.assemble(first, second) }
      let room = length - tokenizer.specialTokenCount(isPair: second != nil)
      guard let second else { return tokenizer.assemble(Array(first.prefix(max(room, 0))), nil) }
      return truncation.lengths(first.count, second.count, room: room).map {
        tokenizer.assemble(Array(first.prefix($0.first)), Array(second.prefix($0.second)))
      }
    }
  }

  private static func pair(_ entry: JSONObject, _ tokenizer: any Tokenizer) throws -> Padded? {
    let arguments = try Arguments(entry.object("args"))
    // To the reference a pair with an empty second text is a single text.
    let second = try entry.string("b")
    let tokens = arguments.truncated(
      tokenizer.tokens(of: try entry.string("a")), second.isEmpty ? nil : tokenizer.tokens(of: second), tokenizer)
    return tokens.map {
      Padded($0, to: arguments.padsToLength ? arguments.length ?? 0 : 0, padID: tokenizer.padID)
    }
  }

  private static func batch(_ entry: JSONObject, _ tokenizer: any Tokenizer) throws -> [Padded] {
    let arguments = try Arguments(entry.object("args"))
    let tokens = try entry.strings("texts").compactMap {
      arguments.truncated(tokenizer.tokens(of: $0), nil, tokenizer)
    }
    let longest = tokens.map(\.ids.count).max() ?? 0
    let length = arguments.padsToLength ? arguments.length ?? longest : longest
    return tokens.map { Padded($0, to: length, padID: tokenizer.padID) }
  }
}

extension JSONObject {
  fileprivate func optionalObjects(_ key: String) throws -> [JSONObject] {
    self[key] == nil ? [] : try objects(key)
  }
}
