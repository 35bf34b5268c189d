import Foundation
import Testing

@testable import Tasks

/// Texts are compared by code points, as Python compares them: `é` in one code point is not `e` with an accent behind it.
@Suite struct CodePointTests {
  private static let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")

  /// sacrebleu 2.5.1, corpus_bleu(["le café est ouvert ici"], [["le café est ouvert ici"]]) with the reference in NFD: counts
  /// [4, 2, 1, 0] of [5, 4, 3, 2].
  @Test func metricsOfText() {
    let (answer, reference) = ("le \(Self.composed) est ouvert ici", "le \(Self.decomposed) est ouvert ici")
    var bleu = BLEU()
    bleu.add(answer, references: [reference])
    #expect(bleu.matches == [4, 2, 1, 0] && bleu.totals == [5, 4, 3, 2])
    let outcome = ExampleOutcome(.text(answer), Expectation(references: [reference]))
    let values = Dictionary(uniqueKeysWithValues: TaskMetrics.text.values(of: [outcome]).map { ($0.name, $0.value) })
    #expect(values["exact_match"] == 0)
    let same = ExampleOutcome(.text(answer), Expectation(references: [answer]))
    #expect(TaskMetrics.text.values(of: [same]).first { $0.name == "exact_match" }?.value == 1)
  }

  @Test func labels() throws {
    let matching = AnswerMatching(labels: [Self.composed, Self.decomposed])
    #expect(matching.label(of: " \(Self.composed)") == 0 && matching.label(of: "\(Self.decomposed)\n") == 1)
    try Fixtures.withFolder { folder in
      let file = folder.appendingPathComponent("train.jsonl")
      let rows = [Self.composed, Self.decomposed, Self.composed].map { #"{"sentence1": "a", "label": "\#($0)"}"# }
      try Data(rows.joined(separator: "\n").utf8).write(to: file)
      let task = try PairTask().resolved(with: file)
      #expect(task.labels.map { Array($0.utf8) } == [Self.decomposed, Self.composed].map { Array($0.utf8) })
      let found = try task.examples(at: file).map(\.label)
      #expect(found == [1, 0, 1])
    }
  }

  /// Names that are numbers are names, not numbers of names.
  @Test func numbersAsNames() throws {
    try Fixtures.withFolder { folder in
      let file = folder.appendingPathComponent("test.jsonl")
      func labels(_ words: [String]) throws -> [Int?] {
        let rows = words.map { #"{"sentence1": "a", "label": \#($0)}"# }
        try Data(rows.joined(separator: "\n").utf8).write(to: file)
        return try PairTask(options: TextOptions(labelNames: ["1", "2", "3"])).examples(at: file).map(\.label)
      }
      let found = try labels(["1", "3", "\"2\""])
      #expect(found == [0, 2, 1])
      let error = #expect(throws: DataError.self) { try labels(["1", "0"]) }
      #expect("\(error.map { "\($0)" } ?? "")".contains("test.jsonl"))
      #expect("\(error.map { "\($0)" } ?? "")".contains("2"))
    }
  }

  @Test func numbersOfARegression() {
    for text in ["0x1A", "nan", "inf", "1e999", "infinity", "1_0"] {
      #expect(Answer.text(text).value == nil, "\(text)")
    }
    for (text, value) in [(" 3.5\n", 3.5), ("-2e1", -20), ("+.5", 0.5)] { #expect(Answer.text(text).value == value) }
  }
}
