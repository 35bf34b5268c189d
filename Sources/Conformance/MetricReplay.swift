import Checkpoints
import Foundation
import Tasks

/// Replays `metrics/`: scores of labels and numbers against scikit-learn and scipy, ROUGE against rouge-score, BLEU
/// against sacrebleu.
enum MetricReplay {
  private static let tolerance = Tolerance(absolute: 1e-12, relative: 1e-9)

  static func reports(_ folder: URL) throws -> [CaseReport] {
    let json = try JSONObject(file: folder.appendingPathComponent("metrics.json"))
    var reports: [CaseReport] = []
    if let classification = try json.optionalObject("classification") {
      reports += try classification.members.keys.sorted().map { name in
        let entry = try classification.object(name)
        return CaseReport("metrics/\(name)") {
          if entry["y_true"] != nil { return try labels(entry) }
          if entry["x"] != nil { return try correlations(entry) }
          throw NotSupported(reason: "metric \(name)")
        }
      }
    }
    if json["rouge"] != nil { reports.append(CaseReport("metrics/rouge") { try rouge(json) }) }
    if let stems = try json.optionalObject("porter_nltk_extensions") {
      reports.append(CaseReport("metrics/porter") { [try self.stems(stems)] })
    }
    if let bleu = try json.optionalObject("bleu") {
      reports.append(CaseReport("metrics/bleu") { try self.bleu(bleu) })
    }
    return reports
  }

  private static func labels(_ entry: JSONObject) throws -> [Finding] {
    let (expected, predicted) = (try entry.ints("y_true"), try entry.ints("y_pred"))
    guard expected.count == predicted.count, let labelCount = (expected + predicted).max().map({ $0 + 1 }),
      labelCount <= 1 << 10, (expected + predicted).allSatisfy({ $0 >= 0 })
    else { throw entry.error("y_pred", expected: "as many labels as y_true, from 0 to 1023") }
    var counts = ClassificationCounts(labelCount: max(labelCount, 2))
    for (label, answer) in zip(expected, predicted) { counts.record(expected: label, predicted: answer) }
    var values: [(String, Double)] = [
      ("accuracy", counts.accuracy), ("f1_macro", counts.f1(.macro)), ("f1_micro", counts.f1(.micro)),
      ("f1_weighted", counts.f1(.weighted)), ("mcc", counts.matthewsCorrelation),
    ]
    if counts.labelCount == 2 {
      values += [("f1", counts.f1(.binary)), ("precision", counts.precision(of: 1)), ("recall", counts.recall(of: 1))]
    }
    return try findings(values, entry)
  }

  private static func correlations(_ entry: JSONObject) throws -> [Finding] {
    let (x, y) = (try entry.doubles("x"), try entry.doubles("y"))
    guard x.count == y.count else { throw entry.error("y", expected: "as many numbers as x") }
    return try findings(
      [("pearson", Correlation.pearson(x, y)), ("spearman", Correlation.spearman(x, y))], entry)
  }

  /// One finding for each value that the reference has.
  private static func findings(_ values: [(String, Double)], _ entry: JSONObject) throws -> [Finding] {
    try values.compactMap { key, value in
      guard let reference = try entry.optionalDouble(key) else { return nil }
      var finding = Finding(key, tolerance)
      finding.compare(value, reference, at: key)
      return finding
    }
  }

  // MARK: ROUGE

  private static var kinds: [(name: String, path: KeyPath<Rouge.Scores, Rouge.Score>)] {
    [("rouge1", \.rouge1), ("rouge2", \.rouge2), ("rougeL", \.rougeL), ("rougeLsum", \.rougeLsum)]
  }

  private static func rouge(_ json: JSONObject) throws -> [Finding] {
    let pairs = try json.objects("pairs")
    let entry = try json.object("rouge")
    return try [("stemmer", true), ("no_stemmer", false)].flatMap { key, stemmed -> [Finding] in
      let rows = try entry.objects(key)
      guard rows.count == pairs.count else { throw entry.error(key, expected: "as many rows as there are pairs") }
      var (single, mean) = (Finding(key, tolerance), Finding("\(key) mean", tolerance))
      var sums: [String: Double] = [:]
      for (number, (pair, row)) in zip(pairs, rows).enumerated() {
        let scores = Rouge.scores(
          of: try pair.string("prediction"), against: [try pair.string("reference")], stemmed: stemmed)
        for (name, path) in kinds {
          let score = scores[keyPath: path]
          single.compare([score.precision, score.recall, score.f], try row.doubles(name), at: "pair \(number) \(name)")
          sums[name, default: 0] += score.f
        }
      }
      let means = try entry.object("\(key)_mean_f")
      for (name, _) in kinds {
        mean.compare(sums[name, default: 0] / Double(pairs.count), try means.double(name), at: name)
      }
      return [single, mean]
    }
  }

  private static func stems(_ json: JSONObject) throws -> Finding {
    var finding = Finding("stems")
    for word in json.members.keys.sorted() {
      // As in ROUGE, words of up to three characters stay as they are.
      finding.compare(exactly: Rouge.tokens(of: word), [try json.string(word)], at: word)
    }
    return finding
  }

  // MARK: BLEU

  private static func bleu(_ json: JSONObject) throws -> [Finding] {
    let (hypotheses, references) = (try json.strings("hypotheses"), try json.strings("references"))
    guard hypotheses.count == references.count else {
      throw json.error("references", expected: "as many texts as hypotheses")
    }
    func count(_ change: (String) -> String = { $0 }) -> BLEU {
      var bleu = BLEU()
      for (hypothesis, reference) in zip(hypotheses, references) {
        bleu.add(change(hypothesis), references: [change(reference)])
      }
      return bleu
    }
    let bleu = count()
    // The reference does not say which short text it scored: with no four tokens in a row the score is 0 for any.
    var short = BLEU()
    short.add("the cat sat", references: ["the cat sat"])
    var findings = try findings(
      [
        ("score", bleu.score), ("bp", bleu.brevityPenalty), ("none_smoothing", bleu.score(.none)),
        ("lowercase_score", count { $0.lowercased() }.score), ("short_no_4gram", short.score),
      ], json)
    var (precisions, sentences) = (Finding("precisions", tolerance), Finding("sentence_bleu", tolerance))
    precisions.compare(bleu.precisions(), try json.doubles("precisions"), at: "precisions")
    sentences.compare(
      zip(hypotheses, references).map { hypothesis, reference in
        var single = BLEU()
        single.add(hypothesis, references: [reference])
        return single.score(effectiveOrder: true)
      }, try json.doubles("sentence_bleu"), at: "sentence_bleu")
    var (counts, tokens) = (Finding("counts"), Finding("tokenized_13a"))
    counts.compare(exactly: bleu.matches, try json.ints("counts"), at: "counts")
    counts.compare(exactly: bleu.totals, try json.ints("totals"), at: "totals")
    counts.compare(exactly: bleu.predictedLength, try json.int("sys_len"), at: "sys_len")
    counts.compare(exactly: bleu.referenceLength, try json.int("ref_len"), at: "ref_len")
    tokens.compare(
      exactly: hypotheses.map { BLEUTokenizer.tokens(of: $0).joined(separator: " ") },
      try json.strings("tokenized_13a"), at: "tokenized_13a")
    findings += [precisions, sentences, counts, tokens]
    return findings
  }
}
