/// Cuts a text into sentences.
///
/// A text with line breaks has its sentences on lines, as the reference summaries of CNN/DailyMail. Otherwise a
/// sentence ends with a run of `.`, `!` and `?`, with the closing quotes and brackets behind it, if white space follows
/// and then no small letter, unless a single full stop ends a single capital letter (`J. Smith`, `U.S. Steel`) or one
/// of a few titles and abbreviations. Rules that fit in a page instead of NLTK's `punkt`, whose trained tables are no
/// part of this program: scores that count sentences (ROUGE-Lsum, Lead-3) can differ a little from those made with it.
public enum SentenceSplitter {
  /// The sentences without white space around them; none is empty.
  public static func sentences(of text: String) -> [String] {
    let lines = text.split(whereSeparator: \.isNewline).map(trimmed).filter { !$0.isEmpty }
    return lines.count > 1 ? lines : lines.flatMap(split)
  }

  /// The text with each sentence on a line of its own, as ROUGE-Lsum wants it.
  static func onLines(_ text: String) -> String { sentences(of: text).joined(separator: "\n") }

  private typealias Scalars = ArraySlice<Unicode.Scalar>

  /// Words before whose full stop a sentence goes on.
  private static let abbreviations: Set<String> = [
    "Mr", "Mrs", "Ms", "Dr", "Prof", "Sr", "Jr", "St", "Gen", "Col", "Lt", "Sgt", "Capt", "Sen", "Rep", "Gov", "Rev",
    "Hon", "vs", "etc", "al", "Fig", "No", "Inc", "Co", "Corp", "Ltd", "Jan", "Feb", "Aug", "Sept", "Oct", "Nov", "Dec",
  ]

  private static func split(_ line: String) -> [String] {
    let scalars = Array(line.unicodeScalars)
    var sentences: [String] = []
    var (start, place) = (0, 0)
    while place < scalars.count {
      guard isEnd(scalars[place]) else {
        place += 1
        continue
      }
      let mark = place
      while place < scalars.count, isEnd(scalars[place]) || isClosing(scalars[place]) { place += 1 }
      var next = place
      while next < scalars.count, scalars[next].properties.isWhitespace { next += 1 }
      guard next > place, next < scalars.count, !startsInLowerCase(scalars[next...]),
        !(place == mark + 1 && isAbbreviation(scalars[start..<mark], scalars[mark]))
      else { continue }
      sentences.append(string(scalars[start..<place]))
      (start, place) = (next, next)
    }
    if start < scalars.count { sentences.append(string(scalars[start...])) }
    return sentences.map { trimmed($0[...]) }.filter { !$0.isEmpty }
  }

  private static func isEnd(_ scalar: Unicode.Scalar) -> Bool { scalar == "." || scalar == "!" || scalar == "?" }

  private static func isClosing(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "\"", "'", ")", "]", "\u{2019}", "\u{201D}": true
    default: false
    }
  }

  private static func startsInLowerCase(_ text: Scalars) -> Bool { text.first?.properties.isLowercase ?? false }

  /// Whether `mark`, a single full stop, belongs to the last word of `text`.
  private static func isAbbreviation(_ text: Scalars, _ mark: Unicode.Scalar) -> Bool {
    guard mark == "." else { return false }
    let word = text.suffix(while: { $0.properties.isAlphabetic })
    if word.count == 1, let letter = word.first { return letter.properties.isUppercase }
    return abbreviations.contains(string(word))
  }

  private static func string(_ scalars: Scalars) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  private static func trimmed(_ text: Substring) -> String {
    let isInk = { (character: Character) in !character.isWhitespace }
    guard let first = text.firstIndex(where: isInk), let last = text.lastIndex(where: isInk) else { return "" }
    return String(text[first...last])
  }
}

extension ArraySlice {
  /// The longest end of which every element fulfils `condition`.
  fileprivate func suffix(while condition: (Element) -> Bool) -> ArraySlice {
    var start = endIndex
    while start > startIndex, condition(self[start - 1]) { start -= 1 }
    return self[start...]
  }
}
