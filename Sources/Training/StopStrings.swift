import Tokenization

/// Texts that end an answer, HF's `stop_strings`.
///
/// After each token the answer is decoded, and it ends when it holds one of them: in beam search a hypothesis then counts as
/// finished like one with an end-of-sequence token, as in HF. Unlike there, the text of the prompt takes no part, and the answer
/// is cut before the stop string.
public struct StopStrings: Sendable, Equatable {
  public let texts: [String]
  private let tokenizer: any Tokenizer

  /// Nil without texts.
  public init?(_ texts: [String], _ tokenizer: any Tokenizer) {
    guard !texts.isEmpty else { return nil }
    precondition(!texts.contains(""), "an empty stop string ends every answer")
    self.texts = texts
    self.tokenizer = tokenizer
  }

  func end(_ answer: [Int32]) -> Bool {
    let text = tokenizer.decode(answer, skippingSpecialTokens: true).unicodeScalars
    return texts.contains { text.firstRange(of: $0.unicodeScalars) != nil }
  }

  /// What stands before the first stop string.
  public func cut(_ text: String) -> String {
    let first = texts.compactMap { text.unicodeScalars.firstRange(of: $0.unicodeScalars)?.lowerBound }.min()
    return first.map { String(text[..<$0]) } ?? text
  }

  public static func == (left: StopStrings, right: StopStrings) -> Bool {
    left.texts == right.texts && left.tokenizer.identity == right.tokenizer.identity
  }
}
