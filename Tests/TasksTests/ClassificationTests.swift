import Foundation
import Testing

@testable import Tasks

/// Against scikit-learn (`Goldens/metrics/metrics.json`).
@Suite struct ClassificationTests {
  struct Goldens: Decodable {
    struct Case: Decodable {
      let y_true: [Int]
      let y_pred: [Int]
      let accuracy: Double
      let f1: Double?
      let f1_macro: Double?
      let f1_micro: Double?
      let f1_weighted: Double?
      let mcc: Double
    }
    struct Cases: Decodable {
      let binary: Case
      let multi: Case
      let degenerate_all_zero_pred: Case
    }
    let classification: Cases
  }

  private func cases() throws -> Goldens.Cases {
    let url = Fixtures.goldens.appendingPathComponent("metrics/metrics.json")
    return try JSONDecoder().decode(Goldens.self, from: Data(contentsOf: url)).classification
  }

  private func counts(_ expected: [Int], _ predicted: [Int?], labels: Int) -> ClassificationCounts {
    var counts = ClassificationCounts(labelCount: labels)
    for (label, answer) in zip(expected, predicted) { counts.record(expected: label, predicted: answer) }
    return counts
  }

  private func close(_ value: Double, _ reference: Double) -> Bool {
    abs(value - reference) <= 1e-12 * max(1, abs(reference))
  }

  @Test func twoLabels() throws {
    for golden in [try cases().binary, try cases().degenerate_all_zero_pred] {
      let counts = counts(golden.y_true, golden.y_pred, labels: 2)
      #expect(counts.total == golden.y_true.count)
      #expect(close(counts.accuracy, golden.accuracy))
      #expect(close(counts.f1(.binary), try #require(golden.f1)))
      #expect(close(counts.matthewsCorrelation, golden.mcc))
    }
  }

  @Test func manyLabels() throws {
    let golden = try cases().multi
    let counts = counts(golden.y_true, golden.y_pred, labels: 4)
    #expect(close(counts.accuracy, golden.accuracy))
    #expect(close(counts.f1(.macro), try #require(golden.f1_macro)))
    #expect(close(counts.f1(.micro), try #require(golden.f1_micro)))
    #expect(close(counts.f1(.weighted), try #require(golden.f1_weighted)))
    #expect(close(counts.matthewsCorrelation, golden.mcc))
  }

  /// Of 3 positive and 2 negative: one positive right, one called negative, one without a label; one
  /// negative right, one called positive. F1 of label 1: 2·1 ÷ (3 + 2); of label 0: 2·1 ÷ (2 + 2).
  @Test func anAnswerThatIsNoLabelIsWrong() {
    let counts = counts([1, 1, 1, 0, 0], [1, 0, nil, 0, 1], labels: 2)
    #expect(counts.correct == 2 && counts.accuracy == 0.4)
    #expect(counts.unanswered == 1 && counts.unansweredShare == 0.2)
    #expect(close(counts.f1(.binary), 0.4))
    #expect(close(counts.f1(.macro), 0.45))
    #expect(close(counts.f1(.weighted), (0.4 * 3 + 0.5 * 2) / 5))
    #expect(close(counts.f1(.micro), 4.0 / 9))
    // (2·5 − (2·2 + 3·2)) = 0
    #expect(counts.matthewsCorrelation == 0)
  }

  @Test func countsAddUpWhateverTheRanks() throws {
    let golden = try cases().multi
    let whole = counts(golden.y_true, golden.y_pred, labels: 4)
    for ranks in [2, 3, 7] {
      var sum = ClassificationCounts(labelCount: 4)
      for rank in 0..<ranks {
        let mine = golden.y_true.indices.filter { $0 % ranks == rank }
        sum.add(counts(mine.map { golden.y_true[$0] }, mine.map { golden.y_pred[$0] }, labels: 4))
      }
      #expect(sum == whole)
      #expect(ClassificationCounts(labelCount: 4, cells: sum.cells) == whole)
    }
  }

  @Test func nothingCounted() {
    let counts = ClassificationCounts(labelCount: 2)
    #expect(counts.accuracy == 0 && counts.f1(.binary) == 0 && counts.matthewsCorrelation == 0)
    #expect(counts.f1(.macro) == 0 && counts.f1(.micro) == 0 && counts.f1(.weighted) == 0)
  }

  @Test func answers() {
    let matching = AnswerMatching(labels: ["negative", "positive"])
    #expect(matching.label(of: "positive") == 1)
    #expect(matching.label(of: " negative\n") == 0)
    #expect(AnswerMatching(labels: [" no", "yes\n"]).label(of: "yes") == 1)
    for answer in ["", "Positive", "positive.", "positively", "neg ative"] {
      #expect(matching.label(of: answer) == nil, "\(answer)")
    }
  }
}
