/// Takes the endings off English words: the Porter stemmer in the form that rouge-score uses.
///
/// Sources: Porter 1980, "An algorithm for suffix stripping", Program 14(3); NLTK `nltk/stem/porter.py` in its default
/// mode `NLTK_EXTENSIONS`, rule by rule in its order. Words are ASCII, in lower case.
enum PorterStemmer {
  typealias Word = [UInt8]

  static func stem(_ word: Word) -> Word {
    if let stem = irregular[word] { return stem }
    guard word.count > 2 else { return word }
    return step5b(step5a(step4(step3(step2(step1c(step1b(step1a(word))))))))
  }

  /// The table of irregular forms.
  private static let irregular: [Word: Word] = {
    let forms = [
      "sky": ["sky", "skies"], "die": ["dying"], "lie": ["lying"], "tie": ["tying"], "news": ["news"],
      "inning": ["innings", "inning"], "outing": ["outings", "outing"], "canning": ["cannings", "canning"],
      "howe": ["howe"], "proceed": ["proceed"], "exceed": ["exceed"], "succeed": ["succeed"],
    ]
    var table: [Word: Word] = [:]
    for (stem, words) in forms { for word in words { table[Word(word.utf8)] = Word(stem.utf8) } }
    return table
  }()

  /// An ending, what takes its place, and what the rest of the word must fulfil.
  private struct Rule: Sendable {
    let ending: Word
    let replacement: Word
    let condition: @Sendable (ArraySlice<UInt8>) -> Bool

    init(
      _ ending: StaticString, _ replacement: StaticString,
      _ condition: @escaping @Sendable (ArraySlice<UInt8>) -> Bool
    ) {
      self.ending = Word("\(ending)".utf8)
      self.replacement = Word("\(replacement)".utf8)
      self.condition = condition
    }
  }

  /// The first rule whose ending the word has decides, whether its condition holds or not.
  private static func apply(_ rules: [Rule], to word: Word) -> Word {
    for rule in rules where has(word, rule.ending) {
      let rest = word.dropLast(rule.ending.count)
      return rule.condition(rest) ? rest + rule.replacement : word
    }
    return word
  }

  // MARK: Steps

  private static func step1a(_ word: Word) -> Word {
    if word.count == 4, has(word, "ies") { return Word(word.dropLast()) }
    return apply(rules1a, to: word)
  }

  private static let rules1a = [
    Rule("sses", "ss") { _ in true }, Rule("ies", "i") { _ in true }, Rule("ss", "ss") { _ in true },
    Rule("s", "") { _ in true },
  ]

  private static func step1b(_ word: Word) -> Word {
    if has(word, "ied") { return Word(word.dropLast(word.count == 4 ? 1 : 2)) }
    if has(word, "eed") { return measure(word.dropLast(3)) > 0 ? Word(word.dropLast()) : word }
    for length in [2, 3] where has(word, length == 2 ? "ed" : "ing") {
      let rest = word.dropLast(length)
      if containsVowel(rest) { return repaired(Word(rest)) }
    }
    return word
  }

  /// A word that has lost `ed` or `ing` gets back what belongs to it.
  private static func repaired(_ word: Word) -> Word {
    if has(word, "at") || has(word, "bl") || has(word, "iz") { return word + [e] }
    if endsInDoubleConsonant(word) {
      return [UInt8(ascii: "l"), UInt8(ascii: "s"), UInt8(ascii: "z")].contains(word[word.count - 1])
        ? word : Word(word.dropLast())
    }
    return measure(word[...]) == 1 && endsInShortSyllable(word[...]) ? word + [e] : word
  }

  private static func step1c(_ word: Word) -> Word {
    guard has(word, "y") else { return word }
    let rest = word.dropLast()
    return rest.count > 1 && isConsonant(rest, rest.endIndex - 1) ? rest + [UInt8(ascii: "i")] : word
  }

  private static func step2(_ word: Word) -> Word {
    if has(word, "alli"), measure(word.dropLast(4)) > 0 { return step2(Word(word.dropLast(2))) }
    return apply(rules2, to: word)
  }

  private static let rules2 =
    [
      Rule("ational", "ate", isLong), Rule("tional", "tion", isLong), Rule("enci", "ence", isLong),
      Rule("anci", "ance", isLong), Rule("izer", "ize", isLong), Rule("bli", "ble", isLong),
      Rule("alli", "al", isLong), Rule("entli", "ent", isLong), Rule("eli", "e", isLong),
      Rule("ousli", "ous", isLong), Rule("ization", "ize", isLong), Rule("ation", "ate", isLong),
      Rule("ator", "ate", isLong), Rule("alism", "al", isLong), Rule("iveness", "ive", isLong),
      Rule("fulness", "ful", isLong), Rule("ousness", "ous", isLong), Rule("aliti", "al", isLong),
      Rule("iviti", "ive", isLong), Rule("biliti", "ble", isLong), Rule("fulli", "ful", isLong),
      // The l counts with the rest, so that short ones such as `geo` work like `archaeo`.
      Rule("logi", "log") { measure($0 + [UInt8(ascii: "l")]) > 0 },
    ]

  private static func step3(_ word: Word) -> Word { apply(rules3, to: word) }

  private static let rules3 = [
    Rule("icate", "ic", isLong), Rule("ative", "", isLong), Rule("alize", "al", isLong),
    Rule("iciti", "ic", isLong), Rule("ical", "ic", isLong), Rule("ful", "", isLong), Rule("ness", "", isLong),
  ]

  private static func step4(_ word: Word) -> Word { apply(rules4, to: word) }

  private static let rules4 = [
    Rule("al", "", isLonger), Rule("ance", "", isLonger), Rule("ence", "", isLonger), Rule("er", "", isLonger),
    Rule("ic", "", isLonger), Rule("able", "", isLonger), Rule("ible", "", isLonger), Rule("ant", "", isLonger),
    Rule("ement", "", isLonger), Rule("ment", "", isLonger), Rule("ent", "", isLonger),
    Rule("ion", "") { isLonger($0) && ($0.last == UInt8(ascii: "s") || $0.last == UInt8(ascii: "t")) },
    Rule("ou", "", isLonger), Rule("ism", "", isLonger), Rule("ate", "", isLonger), Rule("iti", "", isLonger),
    Rule("ous", "", isLonger), Rule("ive", "", isLonger), Rule("ize", "", isLonger),
  ]

  private static func step5a(_ word: Word) -> Word {
    guard word.last == e else { return word }
    let rest = word.dropLast()
    let measure = measure(rest)
    return measure > 1 || (measure == 1 && !endsInShortSyllable(rest)) ? Word(rest) : word
  }

  private static func step5b(_ word: Word) -> Word {
    has(word, "ll") && measure(word.dropLast()) > 1 ? Word(word.dropLast()) : word
  }

  // MARK: Conditions

  private static let e = UInt8(ascii: "e")

  @Sendable private static func isLong(_ stem: ArraySlice<UInt8>) -> Bool { measure(stem) > 0 }
  @Sendable private static func isLonger(_ stem: ArraySlice<UInt8>) -> Bool { measure(stem) > 1 }

  private static func has(_ word: Word, _ ending: StaticString) -> Bool {
    ending.withUTF8Buffer { $0.count <= word.count && word.suffix($0.count).elementsEqual($0) }
  }

  private static func has(_ word: Word, _ ending: Word) -> Bool {
    ending.count <= word.count && word.suffix(ending.count).elementsEqual(ending)
  }

  private static func isVowelLetter(_ letter: UInt8) -> Bool {
    switch letter {
    case UInt8(ascii: "a"), UInt8(ascii: "e"), UInt8(ascii: "i"), UInt8(ascii: "o"), UInt8(ascii: "u"): true
    default: false
    }
  }

  /// Whether the next letter is a consonant: a y is one at the beginning and after a vowel.
  private static func isConsonant(_ letter: UInt8, after previous: Bool?) -> Bool {
    letter == UInt8(ascii: "y") ? !(previous ?? false) : !isVowelLetter(letter)
  }

  private static func isConsonant(_ word: ArraySlice<UInt8>, _ index: Int) -> Bool {
    var previous: Bool?
    for letter in word[...index] { previous = isConsonant(letter, after: previous) }
    return previous ?? true
  }

  /// Porter's m: how often a consonant follows a vowel.
  private static func measure(_ stem: ArraySlice<UInt8>) -> Int {
    var count = 0
    var previous: Bool?
    for letter in stem {
      let consonant = isConsonant(letter, after: previous)
      if consonant, previous == false { count += 1 }
      previous = consonant
    }
    return count
  }

  private static func containsVowel(_ stem: ArraySlice<UInt8>) -> Bool {
    var previous: Bool?
    for letter in stem {
      let consonant = isConsonant(letter, after: previous)
      if !consonant { return true }
      previous = consonant
    }
    return false
  }

  private static func endsInDoubleConsonant(_ word: Word) -> Bool {
    word.count >= 2 && word[word.count - 1] == word[word.count - 2] && isConsonant(word[...], word.count - 1)
  }

  /// Porter's *o: consonant, vowel, consonant other than w, x, y; also a word of two letters, vowel and consonant.
  private static func endsInShortSyllable(_ stem: ArraySlice<UInt8>) -> Bool {
    guard let last = stem.last else { return false }
    let end = stem.endIndex
    if stem.count == 2 { return !isConsonant(stem, end - 2) && isConsonant(stem, end - 1) }
    return stem.count >= 3 && isConsonant(stem, end - 3) && !isConsonant(stem, end - 2) && isConsonant(stem, end - 1)
      && last != UInt8(ascii: "w") && last != UInt8(ascii: "x") && last != UInt8(ascii: "y")
  }
}
