import Foundation

/// What a model answered to an example.
public enum Answer: Sendable, Equatable {
  /// Generated text.
  case text(String)
  /// A classifier's label.
  case label(Int)
  /// A regression's number.
  case value(Double)

  /// The text; empty for an answer that is none.
  var text: String { if case .text(let text) = self { text } else { "" } }

  /// The label, nil if the answer is no label.
  func label(by matching: AnswerMatching) -> Int? {
    switch self {
    case .text(let text): matching.label(of: text)
    case .label(let label): label
    case .value: nil
    }
  }

  /// The number, nil if the answer is none.
  var value: Double? {
    switch self {
    case .text(let text):
      text.trimmed.decimal
    case .label: nil
    case .value(let value): value
    }
  }
}

/// What an answer is judged by.
public struct Expectation: Sendable, Equatable {
  /// Texts of which each is a right answer; the first is the one that is trained on.
  public let references: [String]
  public let label: Int?
  public let value: Double?

  public init(references: [String] = [], label: Int? = nil, value: Double? = nil) {
    self.references = references
    self.label = label
    self.value = value
  }

  public init(_ example: Example) {
    self.init(references: example.references, label: example.label, value: example.value.map { Double($0) })
  }
}

/// One example of an evaluation: what was answered and what was right.
public struct ExampleOutcome: Sendable, Equatable {
  public let answer: Answer
  public let expectation: Expectation

  public init(_ answer: Answer, _ expectation: Expectation) {
    self.answer = answer
    self.expectation = expectation
  }
}
