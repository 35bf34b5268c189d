import Foundation

/// Which label a generated answer is: the label word itself, white space around both aside.
public struct AnswerMatching: Sendable {
  private let numbers: [String: Int]

  /// - Parameter labels: label words by number.
  public init(labels: [String]) {
    numbers = Dictionary(
      labels.enumerated().map { ($1.trimmed, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The label's number, or nil if the answer is no label.
  public func label(of answer: String) -> Int? {
    numbers[answer.trimmed]
  }
}

extension String {
  /// Without the white space around it, which is part of no label and no answer.
  var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
