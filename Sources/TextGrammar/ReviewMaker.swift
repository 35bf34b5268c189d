import TensorCore

/// A review and how it came about.
public struct Review: Sendable, Equatable {
  public let text: String
  public let sign: Sign
  /// The templates of its opinions.
  public let opinions: [Template]
}

/// A row to pre-train on: a text alone, or a source with its target.
public enum CorpusRow: Sendable, Equatable {
  case text(String)
  case pair(source: String, target: String)
}

/// Makes reviews of a grammar, which has the rules `domain`, `opening`, `note` and `opinion.…`, and of `passage` and `pair` rows
/// to pre-train on.
///
/// Words alone do not tell a review's sign: each opinion has, as likely as each other, words of the review's sign only, of the
/// opposite one only, or of both.
public struct ReviewMaker: Sendable {
  /// Templates of opinions that a review may have.
  public enum Part: Sendable {
    case common, unseen
  }

  /// Symbols of `passage` and `pair` that stand for a whole review and for opinions.
  public static let given = Grammar.Given(symbols: ["review", "opinion"], rules: ["passage", "pair"])
  /// Rules that are drawn from; all others are reached from them.
  public static let roots = ["domain", "opening", "note", "opinion", "passage", "pair"]

  private let grammar: Grammar
  private let seed: UInt64
  /// Templates by part, sign and surface.
  private let opinions: [[[[Template]]]]
  private var seen: Set<String> = []

  /// - Throws: `GrammarError.invalid` when the grammar lacks a rule or a kind of opinion.
  public init(_ grammar: Grammar, seed: UInt64) throws {
    self.grammar = grammar
    self.seed = seed
    func missing(_ what: String, _ remedy: String, line: Int = 1) -> GrammarError {
      .invalid(path: grammar.path, line: line, problem: "expected \(what), found none", remedy: remedy)
    }
    guard !grammar.domains.isEmpty else { throw missing("a rule 'domain' of plain words", "add it to the file") }
    for root in ["opening", "note", "passage", "pair"] {
      for sign in Sign.allCases where !grammar.templates(of: root).contains(where: { $0.isDrawn(in: sign) }) {
        throw missing("a rule '\(root)' for \(sign.rawValue) reviews", "add it to the file")
      }
    }
    for pair in grammar.templates(of: "pair") where !pair.isPair {
      throw missing("' => ' before the target of a pair", "write 'source => target'", line: pair.line)
    }
    let all = grammar.templates(of: "opinion")
    opinions = try [false, true].map { isUnseen in
      try Sign.allCases.map { sign in
        try Template.Surface.allCases.map { surface in
          let found = all.filter {
            $0.isUnseen == isUnseen && ($0.sign ?? sign) == sign && $0.surface(in: sign) == surface
          }
          guard !found.isEmpty else {
            throw missing(
              "an opinion\(isUnseen ? " marked '*'" : "") for \(sign.rawValue) reviews with words of sign '\(surface)'",
              "add a template to a rule 'opinion.…'")
          }
          return found
        }
      }
    }
  }

  /// `count` reviews, half of each sign, that were not made before.
  /// - Parameter kind: another kind draws other reviews.
  /// - Throws: `GrammarError.exhausted`.
  public mutating func reviews(_ count: Int, part: Part, kind: String, site: UInt32) throws -> [Review] {
    var result: [Review] = []
    for row in 0..<count {
      let first = generator(site, row: row / 2, attempt: 0).integer(at: 0, below: 2)
      let sign: Sign = (first + row) % 2 == 0 ? .good : .bad
      var attempt: UInt32 = 1
      while result.count == row {
        var draw = TextDraw(grammar, sign: sign, generator: generator(site, row: row, attempt: attempt))
        if let review = review(&draw, part: part), seen.insert(review.text).inserted { result.append(review) }
        attempt += 1
        guard attempt < 1000 else { throw GrammarError.exhausted(path: grammar.path, kind: kind, count: count) }
      }
    }
    return result
  }

  /// `count` rows to pre-train on; no review in them is one that was made before.
  public func corpus(_ count: Int, site: UInt32) throws -> [CorpusRow] {
    try (0..<count).map { row in
      for attempt in 0..<1000 {
        let generator = generator(site, row: row, attempt: UInt32(attempt))
        var draw = TextDraw(grammar, sign: Sign.allCases[row / 2 % 2], generator: generator)
        if let result = corpusRow(&draw, isPair: row % 2 == 1) { return result }
      }
      throw GrammarError.exhausted(path: grammar.path, kind: "the corpus", count: count)
    }
  }

  private func generator(_ site: UInt32, row: Int, attempt: UInt32) -> CounterGenerator {
    CounterGenerator(
      parent: CounterGenerator(seed: seed, purpose: .text, step: UInt64(row), site: site), site: attempt)
  }

  /// Nil when the review is too short or too long.
  private func review(_ draw: inout TextDraw, part: Part) -> Review? {
    var sentences: [String] = []
    var templates: [Template] = []
    for _ in 0...draw.integer(below: 3) {
      let template = opinion(&draw, part: part)
      if !templates.contains(template) {
        templates.append(template)
        sentences.append(draw.text(template))
      }
    }
    if draw.integer(below: 2) == 0 {
      let note = draw.text(draw.template(of: "note"))
      sentences.insert(note, at: draw.integer(below: sentences.count + 1))
    }
    let opening = draw.text(draw.template(of: "opening"))
    sentences.insert(opening, at: draw.integer(below: 5) == 0 ? sentences.count : 0)
    let text = sentences.joined(separator: " ")
    guard (15...60).contains(text.split(separator: " ").count) else { return nil }
    return Review(text: text, sign: draw.sign, opinions: templates)
  }

  private func opinion(_ draw: inout TextDraw, part: Part) -> Template {
    let bySurface = opinions[part == .common ? 0 : 1][draw.sign == .good ? 0 : 1]
    return draw.element(of: draw.element(of: bySurface))
  }

  /// Nil when the row must be drawn again.
  private func corpusRow(_ draw: inout TextDraw, isPair: Bool) -> CorpusRow? {
    let template = draw.template(of: isPair ? "pair" : "passage")
    if template.symbols.contains(where: { $0.name == "review" }) {
      guard let review = review(&draw, part: .common), !seen.contains(review.text), draw.knows(template) else {
        return nil
      }
      draw.given["review"] = review.text
    }
    for symbol in template.symbols where symbol.name == "opinion" {
      let template = opinion(&draw, part: .common)
      draw.given["opinion\(symbol.number)"] = draw.text(template)
    }
    let text = draw.text(template)
    guard isPair else { return .text(text) }
    guard let arrow = text.firstRange(of: Template.arrow) else { return nil }
    return .pair(source: String(text[..<arrow.lowerBound]), target: String(text[arrow.upperBound...]))
  }
}

extension Template {
  /// Between source and target of a pair.
  fileprivate static let arrow = " => "

  fileprivate var isPair: Bool {
    pieces.contains { if case .text(let text) = $0 { text.contains(Self.arrow) } else { false } }
  }
}
