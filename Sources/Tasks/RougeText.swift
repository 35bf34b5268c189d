/// A text as ROUGE sees it: numbered tokens.
struct RougeText {
  /// Of the whole text, which are those of its lines one after the other: a line break separates as a space does.
  let tokens: [Int32]
  /// Of each line that is not empty.
  let lines: [[Int32]]

  init(_ text: String, _ vocabulary: inout RougeVocabulary) {
    lines = vocabulary.lines(of: text)
    tokens = lines.flatMap { $0 }
  }
}

/// Numbers for tokens: two texts can be compared if one vocabulary made both.
///
/// A token is a run of a–z and 0–9 after lower-casing, stemmed if it is longer than three characters (rouge-score,
/// `tokenize.py`).
struct RougeVocabulary {
  private let stemmed: Bool
  /// By the word as it is written.
  private var numbers: [[UInt8]: Int32] = [:]
  /// By the stem.
  private var stems: [[UInt8]: Int32] = [:]

  init(stemmed: Bool) { self.stemmed = stemmed }

  /// The tokens of each line that has any character.
  mutating func lines(of text: String) -> [[Int32]] {
    var lines: [[Int32]] = []
    var line: [Int32] = []
    var word: [UInt8] = []
    var isEmpty = true
    for scalar in text.unicodeScalars {
      let letter = Self.letter(scalar)
      if let letter { word.append(letter) }
      if letter == nil || scalar == Self.dottedI, !word.isEmpty {
        line.append(number(of: word))
        word.removeAll(keepingCapacity: true)
      }
      guard scalar == "\n" else {
        isEmpty = false
        continue
      }
      if !isEmpty { lines.append(line) }
      (line, isEmpty) = ([], true)
    }
    if !word.isEmpty { line.append(number(of: word)) }
    if !isEmpty { lines.append(line) }
    return lines
  }

  /// İ, whose lower case is an i and a dot above it, which ends the token.
  private static let dottedI: Unicode.Scalar = "\u{130}"

  /// The scalar in lower case if that is or begins with one of a–z and 0–9: beyond ASCII only İ and the Kelvin sign.
  private static func letter(_ scalar: Unicode.Scalar) -> UInt8? {
    switch scalar {
    case "a"..."z", "0"..."9": UInt8(scalar.value)
    case "A"..."Z": UInt8(scalar.value + 32)
    case dottedI: UInt8(ascii: "i")
    case "\u{212A}": UInt8(ascii: "k")
    default: nil
    }
  }

  /// The token of a number.
  func token(_ number: Int32) -> String {
    stems.first { $0.value == number }.map { String(decoding: $0.key, as: UTF8.self) } ?? ""
  }

  private mutating func number(of word: [UInt8]) -> Int32 {
    if let number = numbers[word] { return number }
    let stem = stemmed && word.count > 3 ? PorterStemmer.stem(word) : word
    let number = stems[stem] ?? Int32(stems.count)
    stems[stem] = number
    numbers[word] = number
    return number
  }
}
