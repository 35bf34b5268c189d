import TensorCore

/// Draws one text about one domain, of one sign. The same generator gives the same text.
struct TextDraw {
  let grammar: Grammar
  let domain: String
  let sign: Sign
  private let generator: CounterGenerator
  private var drawn: UInt64 = 0
  /// Text of symbols that have no rule, by name and number or by name.
  var given: [String: String] = [:]
  /// What was drawn once for the whole text, by rule and number.
  private var fixed: [String: (index: Int, text: String)] = [:]
  /// Alternatives of each rule that the text has had: a text repeats none as long as there are others.
  private var used: [String: [Int]] = [:]

  init(_ grammar: Grammar, sign: Sign, generator: CounterGenerator) {
    self.grammar = grammar
    self.sign = sign
    self.generator = generator
    domain = grammar.domains[generator.integer(at: 0, below: grammar.domains.count)]
    drawn = 1
    fixed["domain1"] = (0, domain)
  }

  mutating func integer(below bound: Int) -> Int {
    defer { drawn += 1 }
    return generator.integer(at: drawn, below: bound)
  }

  /// One of the alternatives of `rules` for texts of this sign.
  mutating func template(of rule: String) -> Template {
    element(of: grammar.templates(of: rule).filter { $0.isDrawn(in: sign) })
  }

  mutating func element<Element>(of list: [Element]) -> Element { list[integer(below: list.count)] }

  /// Whether the text has all that `template` takes from rules drawn once for a text.
  func knows(_ template: Template) -> Bool {
    template.symbols.allSatisfy { symbol in
      guard let rule = grammar.rule(symbol, domain: domain, sign: sign), rule.isFixed else { return true }
      return fixed["\(rule.name)\(symbol.number)"] != nil
    }
  }

  /// The text of `template`, with "an" for "a" before a vowel.
  mutating func text(_ template: Template) -> String { Self.withArticles(expanded(template)) }

  private mutating func expanded(_ template: Template) -> String {
    var draws: [String: (index: Int, text: String)] = [:]
    var text = ""
    for piece in template.pieces {
      switch piece {
      case .text(let part): text += part
      case .symbol(let symbol):
        if let part = given["\(symbol.name)\(symbol.number)"] ?? given[symbol.name] {
          text += part
        } else if let rule = grammar.rule(symbol, domain: domain, sign: sign) {
          let key = "\(rule.name)\(symbol.number)"
          let mirror = symbol.stance == .mirror ? draws["\(symbol.name).\(sign.rawValue)\(symbol.number)"]?.index : nil
          let draw = fixed[key] ?? draws[key] ?? draw(from: rule, at: mirror, apartFrom: draws)
          draws[key] = draw
          if rule.isFixed { fixed[key] = draw }
          text += draw.text
        }
      }
    }
    return text
  }

  private mutating func draw(
    from rule: Grammar.Rule, at place: Int?, apartFrom draws: [String: (index: Int, text: String)]
  ) -> (index: Int, text: String) {
    let usable = rule.alternatives.indices.filter { rule.alternatives[$0].isDrawn(in: sign) }
    var fresh = usable.filter { used[rule.name]?.contains($0) != true }
    if fresh.isEmpty {
      let taken = (1...9).compactMap { draws["\(rule.name)\($0)"]?.index }
      used[rule.name] = taken
      fresh = usable.filter { !taken.contains($0) }
    }
    let index = place ?? element(of: fresh)
    used[rule.name, default: []].append(index)
    return (index, expanded(rule.alternatives[index]))
  }

  private static func withArticles(_ text: String) -> String {
    var words = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    for index in words.indices.dropLast() where ["a", "\"a"].contains(words[index]) {
      if let first = words[index + 1].first(where: { $0.isLetter }), "aeiou".contains(first) { words[index] += "n" }
    }
    return words.joined(separator: " ")
  }
}
