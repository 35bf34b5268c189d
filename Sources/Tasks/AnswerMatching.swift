import Foundation

/// Which label a generated answer is: the label word itself, white space around both aside.
public struct AnswerMatching: Sendable {
  /// By code points: a String would equal every canonically equivalent one.
  private let numbers: [[UInt8]: Int]

  /// - Parameter labels: label words by number.
  public init(labels: [String]) {
    numbers = Dictionary(
      labels.enumerated().map { (Array($1.trimmed.utf8), $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The label's number, or nil if the answer is no label.
  public func label(of answer: String) -> Int? {
    numbers[Array(answer.trimmed.utf8)]
  }
}

extension String {
  /// Whether both have the same code points; `==` holds for canonically equivalent texts too.
  func isSame(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }

  /// The finite number that it writes in decimal digits; nil for hexadecimal ones and words such as `nan`, which Swift would
  /// read as well.
  var decimal: Double? {
    guard utf8.allSatisfy({ (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }) else { return nil }
    return Double(self).flatMap { $0.isFinite ? $0 : nil }
  }

  /// Without the white space around it, which is part of no label and no answer.
  var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
