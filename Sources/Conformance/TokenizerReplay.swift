import Checkpoints
import Foundation
import Tokenization

/// Replays `tokenizers/`: ids and texts of every string, pairs, batches, and the vocabulary.
enum TokenizerReplay {
  static func reports(_ folder: URL) throws -> [CaseReport] {
    let suffix = "_goldens.json"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      .filter { $0.hasSuffix(suffix) }.map { String($0.dropLast(suffix.count)) }.sorted()
    return names.flatMap { name -> [CaseReport] in
      guard TokenizerCatalogue.modelTypes.contains(name) else {
        return [CaseReport("tokenizers/\(name)", .notSupported(reason: "tokenizer \(name)"))]
      }
      let pieces = folder.appendingPathComponent("\(name)_pieces.json")
      let vocabulary = folder.appendingPathComponent(name)
      guard ReferenceRoot.exists(pieces) else { return [goldens(name, folder)] }
      return [
        goldens(name, folder),
        CaseReport("tokenizers/\(name)_pieces") {
          let model = try SentencePieceModel(contentsOf: vocabulary.appendingPathComponent("spiece.model"))
          return try self.pieces(JSONObject(file: pieces), model)
        },
      ]
    }
  }

  private static func goldens(_ name: String, _ folder: URL) -> CaseReport {
    var exceptions: [String] = []
    let report = CaseReport("tokenizers/\(name)") {
      let json = try JSONObject(file: folder.appendingPathComponent("\(name)_goldens.json"))
      let tokenizer = try TokenizerCatalogue.load(folder: folder.appendingPathComponent(name), modelType: name)
      return try strings(json, tokenizer, &exceptions) + sequences(json, tokenizer) + [
        information(try json.object("info"), tokenizer)
      ]
    }
    return CaseReport(report.name, report.outcome, knownExceptions: exceptions)
  }

  /// Rows where SentencePiece itself differs from HF on exotic characters are optional in the reference: one that
  /// disagrees is listed in `exceptions`.
  private static func strings(
    _ json: JSONObject, _ tokenizer: any Tokenizer, _ exceptions: inout [String]
  ) throws -> [Finding] {
    var (ids, plain) = (Finding("ids"), Finding("SentencePiece ids"))
    var (decoded, skipped) = (Finding("decoded"), Finding("decoded without special tokens"))
    for (row, entry) in try json.objects("strings").enumerated() {
      let text = try entry.string("text")
      let expected = try entry.ints("ids").map { Int32(clamping: $0) }
      let found = tokenizer.encode(text)
      if found != expected, try isOptional(entry, text: text) {
        exceptions.append("row \(row) \(text.debugDescription): expected \(expected), found \(found)")
        continue
      }
      ids.compare(exactly: found, expected, at: "row \(row) \(text.debugDescription)")
      // UTF-8 is compared: equal strings in Swift may differ in their code points.
      decoded.compare(
        exactly: Array(tokenizer.decode(expected, skippingSpecialTokens: false).utf8),
        Array(try entry.string("decoded").utf8), at: "row \(row)")
      skipped.compare(
        exactly: Array(tokenizer.decode(expected, skippingSpecialTokens: true).utf8),
        Array(try entry.string("decoded_skip_special").utf8), at: "row \(row)")
      if let expected = try entry.optionalInts("spm_ids"), let model = (tokenizer as? T5Tokenizer)?.model {
        plain.compare(
          exactly: try model.encode(text), expected.map { Int32(clamping: $0) }, at: "row \(row)")
      }
    }
    return [ids, decoded, skipped] + (plain.comparedCount > 0 ? [plain] : [])
  }

  private static func isOptional(_ entry: JSONObject, text: String) throws -> Bool {
    guard try entry.optionalBool("spm_differs_from_hf") == true else { return false }
    return !["</s>", "<pad>", "<unk>", "<extra_id_"].contains(where: text.contains)
  }

  private static func information(_ json: JSONObject, _ tokenizer: any Tokenizer) throws -> Finding {
    var finding = Finding("special tokens")
    let t5 = tokenizer as? T5Tokenizer
    let facts: [(String, Int?)] = [
      ("len", tokenizer.vocabularyCount), ("spm_vocab_size", t5?.model?.count), ("pad", Int(tokenizer.padID)),
      ("eos", Int(tokenizer.eosID)), ("unk", Int(tokenizer.unknownID)),
      ("extra_id_0", t5?.sentinelID(0).map { Int($0) }), ("extra_id_99", t5?.sentinelID(99).map { Int($0) }),
    ]
    for (key, found) in facts {
      finding.compare(exactly: found, try json.optionalInt(key), at: key)
    }
    return finding
  }

  private static func pieces(_ json: JSONObject, _ model: SentencePieceModel) throws -> [Finding] {
    var (texts, ids) = (Finding("pieces"), Finding("ids"))
    var scores = Finding("scores", Tolerance(relative: 1e-6))
    let pieces = try json.array("pieces")
    texts.compare(exactly: model.count, pieces.count, at: "number of pieces")
    for (id, piece) in pieces.enumerated() where id < model.count {
      guard case .array(let parts) = piece, case .string(let text)? = parts.first,
        let score = parts.last?.number
      else { throw json.error("pieces", expected: "pairs of a text and a score") }
      texts.compare(exactly: model.piece(Int32(id)), text, at: "piece \(id)")
      ids.compare(exactly: model.id(of: text), Int32(id), at: "id of \(text.debugDescription)")
      scores.compare(Double(model.score(Int32(id))), score, at: "score of piece \(id)")
    }
    return [texts, ids, scores]
  }
}

extension JSON {
  fileprivate var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }
}
