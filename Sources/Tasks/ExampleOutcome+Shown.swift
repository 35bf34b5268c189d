import Foundation

/// Outcomes as a person reads them.
extension Answer {
  /// The text, the label's name or the number.
  ///
  /// - Parameter labels: label names by number.
  public func shown(labels: [String]) -> String {
    switch self {
    case .text(let text): text
    case .label(let label): labels.indices.contains(label) ? labels[label] : "\(label)"
    case .value(let value): "\(value)"
    }
  }
}

extension Expectation {
  /// The answer that is trained on: its text, or else the number.
  public var shown: String { references.first ?? value.map { "\($0)" } ?? label.map { "\($0)" } ?? "" }
}

extension ExampleOutcome {
  /// Whether the answer is the expected label, or one of the texts that are right, white space around them aside.
  public func isCorrect(labels: [String]) -> Bool {
    if let expected = expectation.label, !labels.isEmpty {
      return answer.label(by: AnswerMatching(labels: labels)) == expected
    }
    return expectation.references.contains { $0.trimmed == answer.text.trimmed }
  }
}
