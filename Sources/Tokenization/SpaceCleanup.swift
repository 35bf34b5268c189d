import Foundation

/// Closes the gaps that tokenisation opened before punctuation and English contractions.
///
/// Source: transformers `tokenization_utils_base.py`, `clean_up_tokenization`; the order of the steps
/// matters.
enum SpaceCleanup {
  private static let steps = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ]

  static func apply(_ text: String) -> String {
    steps.reduce(text) { $0.replacingOccurrences(of: $1.0, with: $1.1, options: .literal) }
  }
}
