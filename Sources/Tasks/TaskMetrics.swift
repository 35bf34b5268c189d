import Foundation
import TensorCore

/// What is reported about the answers to a task: pure functions of all outcomes in data order, so that ranks, threads
/// and leaves make no difference.
///
/// Names are those of Hugging Face `evaluate` and of its example scripts. ROUGE is between 0 and 1 as in the package
/// rouge-score, BLEU between 0 and 100 as in sacrebleu.
public enum TaskMetrics: Sendable, Equatable {
  /// One of these labels: accuracy, F1 (of label 1 if there are two, the mean over the labels otherwise), Matthews'
  /// correlation if asked for, and for generated answers the share of those that are no label.
  case labels([String], matthews: Bool = true)
  /// Free text: exact match, ROUGE, BLEU, perplexity.
  case text
  /// Nothing is answered; the loss of the tokens says all: perplexity.
  case tokens
  /// A number: Pearson's and Spearman's correlation, and for generated answers the share of those that are no number.
  case regression

  /// What stands for a generated answer that is no number (T5: `t5/data/postprocessors.py`, `string_to_float`).
  static let noNumber = -1.0

  /// Names and values in the order in which they are shown.
  ///
  /// - Parameters:
  ///   - outcomes: in data order; empty if nothing was answered, which leaves what the loss gives.
  ///   - loss: mean over the target tokens; for the perplexity of free text.
  public func values(of outcomes: [ExampleOutcome], loss: Double? = nil) -> [(name: String, value: Double)] {
    switch self {
    case .labels(let names, let matthews): Self.labels(outcomes, names: names, matthews: matthews)
    case .tokens: loss.map { [("perplexity", Portable.exp($0))] } ?? []
    case .text: Self.text(outcomes) + (loss.map { [("perplexity", Portable.exp($0))] } ?? [])
    case .regression: Self.regression(outcomes)
    }
  }

  private static func labels(
    _ outcomes: [ExampleOutcome], names: [String], matthews: Bool
  ) -> [(name: String, value: Double)] {
    let matching = AnswerMatching(labels: names)
    var counts = ClassificationCounts(labelCount: names.count)
    for outcome in outcomes {
      // A target that is cut before it says a label cannot be compared.
      guard let expected = outcome.expectation.label else { continue }
      counts.record(expected: expected, predicted: outcome.answer.label(by: matching))
    }
    var values = [("accuracy", counts.accuracy), ("f1", counts.f1(names.count == 2 ? .binary : .macro))]
    if matthews { values.append(("matthews_correlation", counts.matthewsCorrelation)) }
    if outcomes.contains(where: \.isGenerated) { values.append(("no_label_share", counts.unansweredShare)) }
    return values
  }

  private static func text(_ outcomes: [ExampleOutcome]) -> [(name: String, value: Double)] {
    guard !outcomes.isEmpty else { return [] }
    var exact = 0
    var rouge = RougeMean()
    var bleu = BLEU()
    for outcome in outcomes {
      let (answer, references) = (outcome.answer.text, outcome.expectation.references)
      if references.contains(where: { $0.trimmed.isSame(as: answer.trimmed) }) { exact += 1 }
      rouge.add(Rouge.scores(of: SentenceSplitter.onLines(answer), against: references.map(SentenceSplitter.onLines)))
      bleu.add(answer, references: references)
    }
    return [("exact_match", Double(exact) / Double(outcomes.count))] + rouge.values + [("bleu", bleu.score)]
  }

  private static func regression(_ outcomes: [ExampleOutcome]) -> [(name: String, value: Double)] {
    guard !outcomes.isEmpty else { return [] }
    let expected = outcomes.map { outcome in
      guard let value = outcome.expectation.value else { preconditionFailure("an example without a value") }
      return value
    }
    let found = outcomes.map { $0.answer.value ?? noNumber }
    var values = [
      ("pearson", Correlation.pearson(expected, found)), ("spearmanr", Correlation.spearman(expected, found)),
    ]
    if outcomes.contains(where: \.isGenerated) {
      let missing = outcomes.count { $0.answer.value == nil }
      values.append(("no_number_share", Double(missing) / Double(outcomes.count)))
    }
    return values
  }
}

extension ExampleOutcome {
  fileprivate var isGenerated: Bool { if case .text = answer { true } else { false } }
}
