import Testing

@testable import TextGrammar

@Suite struct ReviewMakerTests {
  private static func maker(seed: UInt64 = 1) throws -> ReviewMaker {
    try ReviewMaker(Grammar(GrammarTests.shipped(), path: "grammar.txt", given: ReviewMaker.given), seed: seed)
  }

  @Test func theSeedAndTheKindDecideTheBytes() throws {
    var (first, second, other) = try (Self.maker(), Self.maker(), Self.maker(seed: 2))
    let reviews = try first.reviews(100, part: .common, kind: "train", site: 0)
    #expect(try second.reviews(100, part: .common, kind: "train", site: 0) == reviews)
    #expect(try other.reviews(100, part: .common, kind: "train", site: 0) != reviews)
    #expect(try first.corpus(100, site: 3) == second.corpus(100, site: 3))
    // More rows leave the earlier ones as they are.
    var third = try Self.maker()
    #expect(try third.reviews(200, part: .common, kind: "train", site: 0).prefix(100) == reviews[...])
  }

  @Test func symbolsAreDrawnAsTheirFormSays() throws {
    let grammar = try Grammar(
      """
      domain: film | book
      a: {n} {n} {n2} {t} {u:same} {u:mirror} {v} a {w} a {x} "a {w}"
      n: 1 | 2
      t = p | q | r
      u.good: g | h
      u.bad: y | ~
      v: general
      book.v: special
      w: owl
      x: {t}
      """, path: "g")
    let template = try #require(grammar.templates(of: "a").first)
    var titles: Set<String> = []
    for site in 0..<40 {
      var draw = TextDraw(grammar, sign: .good, generator: .init(seed: 1, purpose: .text, site: UInt32(site)))
      let words = draw.text(template).split(separator: " ").map(String.init)
      #expect(words[0] == words[1] && words[2] == (words[0] == "1" ? "2" : "1"))
      #expect(words[5] == (words[4] == "h" ? "~" : "y"))
      #expect(words[6] == (draw.domain == "book" ? "special" : "general"))
      #expect(words[7...8] == ["an", "owl"] && words[9] == "a" && words[10] == words[3] && words[11] == "\"an")
      titles.insert(words[3])
    }
    #expect(titles == ["p", "q", "r"])
  }

  @Test func labelsAreHalvedAndNoReviewComesTwice() throws {
    var maker = try Self.maker()
    let train = try maker.reviews(1000, part: .common, kind: "train", site: 0)
    // The same site draws the same texts first: only what was made before keeps them apart.
    let again = try maker.reviews(1000, part: .common, kind: "again", site: 0)
    let test = try maker.reviews(400, part: .unseen, kind: "test", site: 2)
    for part in [train, again, test] { #expect(part.count { $0.sign == .good } == part.count / 2) }
    #expect(Set((train + again + test).map(\.text)).count == 2400)
    for review in train + test {
      #expect((15...60).contains(review.text.split(separator: " ").count))
      #expect(!review.text.contains { "{}|*".contains($0) })
    }
  }

  @Test func theTestPartHasWordingsOfItsOwn() throws {
    var maker = try Self.maker()
    let train = try maker.reviews(600, part: .common, kind: "train", site: 0).flatMap(\.opinions)
    let test = try maker.reviews(600, part: .unseen, kind: "test", site: 2).flatMap(\.opinions)
    #expect(train.allSatisfy { !$0.isUnseen } && test.allSatisfy(\.isUnseen))
    // Both come by all constructs.
    #expect(Set(train.map(\.rule)) == Set(test.map(\.rule)) && Set(test.map(\.rule)).count == 8)
  }

  /// Words of both signs are as frequent in positive as in negative reviews, within three standard deviations and a twentieth.
  @Test(arguments: [ReviewMaker.Part.common, .unseen])
  func wordsDoNotTellTheSign(part: ReviewMaker.Part) throws {
    var maker = try Self.maker()
    let grammar = try Grammar(GrammarTests.shipped(), path: "grammar.txt", given: ReviewMaker.given)
    let reviews = try maker.reviews(2000, part: part, kind: "reviews", site: 0)
    for rule in ["adj", "event"] {
      for sign in Sign.allCases {
        let names = grammar.ruleNames.filter { $0 == "\(rule).\(sign)" || $0.hasSuffix(".\(rule).\(sign)") }
        let phrases = names.flatMap { grammar.templates(of: $0) }.map { TextOf($0).text }
        #expect(phrases.count >= 24)
        let counts = Sign.allCases.map { label in
          reviews.filter { $0.sign == label }.reduce(0) { sum, review in
            let padded = " " + String(review.text.map { ".,;:?\"".contains($0) ? " " : $0 }) + " "
            return sum + phrases.count { padded.contains(" \($0) ") }
          }
        }
        let total = Double(counts[0] + counts[1])
        let bound = 3 * total.squareRoot() + 0.05 * total
        #expect(total > 200 && abs(Double(counts[0] - counts[1])) < bound, "\(rule) \(sign): \(counts)")
      }
    }
  }

  @Test func theCorpusNamesNoReviewsLabelAndHasNoBundledReview() throws {
    var maker = try Self.maker()
    let train = try maker.reviews(3000, part: .common, kind: "train", site: 0)
    let rows = try maker.corpus(4000, site: 3)
    var (texts, answers): (Int, Set<String>) = (0, [])
    let bundled = Set(train.map(\.text))
    for row in rows {
      switch row {
      case .text(let text):
        texts += 1
        #expect(!text.contains("positive") && !text.contains("negative") && !bundled.contains(text))
      case .pair(let source, let target):
        let isLabel = target == "positive" || target == "negative"
        #expect(isLabel == (source.hasPrefix("phrase: ") || source.hasPrefix("word: ")), "\(source)")
        let body = source.split(separator: ": ", maxSplits: 1)[1]
        #expect(!bundled.contains(String(body)))
        if isLabel { #expect(body.split(separator: " ").count < 30) }
        if source.hasPrefix("who: ") { #expect(body.contains(target)) }
        answers.insert(target)
      }
    }
    #expect(texts == 2000)
    #expect(answers.isSuperset(of: ["positive", "negative", "yes", "no", "gladly", "never", "film", "museum"]))
  }

  /// A grammar with few texts: about 130 reviews of each sign.
  private static func small() throws -> ReviewMaker {
    let text = """
      domain: film
      opening: \(Array(repeating: "long", count: 15).joined(separator: " "))
      note: x
      word.good: good
      word.bad: bad
      opinion: {word:same} | {word:other} | {word:same} {word:other}
        * {word:same} | * {word:other} | * {word:same} {word:other}
      passage: {review}
      pair: {review} => {domain}
      """
    return try ReviewMaker(Grammar(text, path: "g.txt", given: ReviewMaker.given), seed: 1)
  }

  @Test func aGrammarThatGivesTooFewReviewsSaysSo() throws {
    var maker = try Self.small()
    let error = #expect(throws: GrammarError.self) { try maker.reviews(1000, part: .common, kind: "train", site: 0) }
    #expect(error == .exhausted(path: "g.txt", kind: "train", count: 1000))
  }

  @Test func theCorpusLeavesOutTheReviewsThatWereMade() throws {
    func sources(_ maker: ReviewMaker) throws -> Set<String> {
      Set(
        try maker.corpus(40, site: 3).map {
          switch $0 {
          case .text(let text): text
          case .pair(let source, _): source
          }
        })
    }
    var maker = try Self.small()
    let fresh = maker
    let made = Set(try maker.reviews(40, part: .common, kind: "train", site: 0).map(\.text))
    #expect(try !sources(fresh).isDisjoint(with: made))
    #expect(try sources(maker).isDisjoint(with: made))
  }
}

/// The text of a template without symbols.
private struct TextOf {
  let text: String

  init(_ template: Template) {
    text = template.pieces.map { if case .text(let text) = $0 { text } else { "" } }.joined()
  }
}
