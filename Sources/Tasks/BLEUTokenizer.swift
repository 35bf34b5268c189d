/// The tokens that BLEU scores are comparable by: `13a`, that of mteval-v13a and WMT.
///
/// Source: sacrebleu `tokenizers/tokenizer_13a.py` and `tokenizer_re.py`, substitution by substitution.
public enum BLEUTokenizer {
  public static func tokens(of text: String) -> [String] {
    var scalars = Array(text.unicodeScalars)
    while let last = scalars.last, isSpace(last) { scalars.removeLast() }
    for (old, new) in [("<skipped>", ""), ("-\n", ""), ("\n", " ")] { scalars = replacing(old, by: new, in: scalars) }
    if scalars.contains("&") {
      for (old, new) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        scalars = replacing(old, by: new, in: scalars)
      }
    }
    scalars = [" "] + scalars + [" "]
    scalars = scalars.flatMap { isSymbol($0) ? [" ", $0, " "] : [$0] }
    // A period or comma stands alone unless a digit precedes it, and again unless one follows; a dash after a digit
    // does.
    scalars = spacing(scalars, { !isDigit($0) && isPoint($1) }) { [$0, " ", $1, " "] }
    scalars = spacing(scalars, { isPoint($0) && !isDigit($1) }) { [" ", $0, " ", $1] }
    scalars = spacing(scalars, { isDigit($0) && $1 == "-" }) { [$0, " ", $1, " "] }
    return scalars.split(whereSeparator: isSpace).map { word in
      var token = String.UnicodeScalarView()
      token.append(contentsOf: word)
      return String(token)
    }
  }

  private typealias Scalars = [Unicode.Scalar]

  private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
  private static func isPoint(_ scalar: Unicode.Scalar) -> Bool { scalar == "." || scalar == "," }

  /// What Python's `str.split` splits at.
  private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || ("\u{1C}"..."\u{1F}").contains(scalar)
  }

  /// The class `[\{-\~\[-\` -\&\(-\+\:-\@\/]`, the space aside.
  private static func isSymbol(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "{"..."~", "["..."`", "!"..."&", "("..."+", ":"..."@", "/": true
    default: false
    }
  }

  /// Replaces every pair of neighbours that fits, from left to right; none is part of two pairs.
  private static func spacing(
    _ scalars: Scalars, _ fits: (Unicode.Scalar, Unicode.Scalar) -> Bool,
    _ replacement: (Unicode.Scalar, Unicode.Scalar) -> Scalars
  ) -> Scalars {
    var output: Scalars = []
    output.reserveCapacity(scalars.count + scalars.count / 4)
    var place = 0
    while place < scalars.count {
      if place + 1 < scalars.count, fits(scalars[place], scalars[place + 1]) {
        output += replacement(scalars[place], scalars[place + 1])
        place += 2
      } else {
        output.append(scalars[place])
        place += 1
      }
    }
    return output
  }

  private static func replacing(_ old: String, by new: String, in scalars: Scalars) -> Scalars {
    let (old, new) = (Scalars(old.unicodeScalars), Scalars(new.unicodeScalars))
    guard let first = old.first, scalars.contains(first) else { return scalars }
    var output: Scalars = []
    var place = 0
    while place < scalars.count {
      if scalars[place] == first, scalars[place...].starts(with: old) {
        output += new
        place += old.count
      } else {
        output.append(scalars[place])
        place += 1
      }
    }
    return output
  }
}
