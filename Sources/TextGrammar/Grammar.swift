import Diagnostics

/// Which of two sides a text takes; its adjectives are in the rules `adj.good` and `adj.bad`.
public enum Sign: String, Sendable, CaseIterable {
  case good, bad

  public var opposite: Sign { self == .good ? .bad : .good }
}

/// A place of a template that a rule fills: `{adj2:other}`.
public struct Symbol: Sendable, Equatable {
  enum Stance: String, Sendable, CaseIterable {
    /// Of the text's sign, of the opposite one, or the counterpart of `same`: the alternative at its place in the other rule.
    case same, other, mirror
  }

  public let name: String
  /// Symbols of one rule with different numbers get different alternatives.
  let number: Int
  let stance: Stance?

  /// The rule's name in a text of `sign`, without a domain.
  func rule(_ sign: Sign) -> String {
    switch stance {
    case .same: "\(name).\(sign.rawValue)"
    case .other, .mirror: "\(name).\(sign.opposite.rawValue)"
    case nil: name
    }
  }
}

/// One alternative of a rule.
public struct Template: Sendable, Equatable {
  enum Piece: Sendable, Equatable {
    case text(String)
    case symbol(Symbol)
  }

  /// Of which sides the signed words of a template are, seen from the text's sign.
  public enum Surface: Int, Sendable, CaseIterable {
    case same, other, both
  }

  public let rule: String
  public let line: Int
  /// Kept for the unseen part.
  public let isUnseen: Bool
  /// The only sign of texts that may have it.
  public let sign: Sign?
  let pieces: [Piece]

  public var symbols: [Symbol] {
    pieces.compactMap { if case .symbol(let symbol) = $0 { symbol } else { nil } }
  }

  /// Whether a symbol in a text of `sign` may become this alternative.
  func isDrawn(in sign: Sign) -> Bool { !isUnseen && (self.sign ?? sign) == sign }

  /// The side of the template's own words; nil without signed words.
  public func surface(in sign: Sign) -> Surface? {
    let names = symbols.map { $0.rule(sign) }
    let hasSame = names.contains { $0.hasSuffix(".\(sign.rawValue)") }
    let hasOther = names.contains { $0.hasSuffix(".\(sign.opposite.rawValue)") }
    return hasSame ? (hasOther ? .both : .same) : (hasOther ? .other : nil)
  }
}

/// A context-free grammar, read from a text file whose form the head of `examples/reviews/grammar.txt` explains.
public struct Grammar: Sendable {
  struct Rule: Sendable {
    let name: String
    let line: Int
    /// Drawn once for a whole text.
    let isFixed: Bool
    var alternatives: [Template] = []
  }

  /// Symbols without a rule, whose text the caller supplies.
  public struct Given: Sendable {
    let symbols: [String]
    /// Rules whose alternatives may have them, with those named `rule.…`.
    let rules: [String]

    public static let none = Given(symbols: [], rules: [])
  }

  let path: String
  let rules: [String: Rule]
  /// Names of all rules in the order of the file.
  public let ruleNames: [String]
  /// The alternatives of the rule `domain`: what texts are about.
  public let domains: [String]

  /// - Parameters:
  ///   - path: the file's name in messages.
  ///   - given: what the caller fills.
  /// - Throws: `GrammarError.invalid`.
  public init(_ text: String, path: String, given: Given = .none) throws {
    var reader = GrammarReader(path: path)
    try reader.read(text)
    self.path = path
    (rules, ruleNames) = (reader.rules, reader.names)
    domains = (reader.rules["domain"]?.alternatives ?? []).compactMap {
      if case .text(let word) = $0.pieces.first { word } else { nil }
    }
    try checkSymbols(given)
    try checkRecursion()
  }

  /// The rule that fills `symbol`: the domain's own one before the general one.
  func rule(_ symbol: Symbol, domain: String?, sign: Sign) -> Rule? {
    let name = symbol.rule(sign)
    return domain.flatMap { rules["\($0).\(name)"] } ?? rules[name]
  }

  /// Alternatives of the rule `name` and of all rules `name.…`, in the order of the file.
  public func templates(of name: String) -> [Template] {
    ruleNames.filter { Self.isRule($0, of: name) }.flatMap { rules[$0]?.alternatives ?? [] }
  }

  /// Rules that no expansion of `roots` and of the rules below them, `root.…`, comes to.
  public func unreachable(from roots: [String]) -> [String] {
    var reached: Set<String> = []
    var open = ruleNames.filter { name in roots.contains { Self.isRule(name, of: $0) } }
    while let name = open.popLast() {
      if reached.insert(name).inserted { open += successors(of: name) }
    }
    return ruleNames.filter { !reached.contains($0) }
  }

  /// Whether `rule` is the rule `name` or one of those below it.
  private static func isRule(_ rule: String, of name: String) -> Bool { rule == name || rule.hasPrefix(name + ".") }

  /// Rules that the symbols of rule `name` may lead to.
  private func successors(of name: String) -> [String] {
    (rules[name]?.alternatives ?? []).flatMap { template in
      template.symbols.flatMap { symbol in
        targets(of: template).compactMap { rule(symbol, domain: $0.domain, sign: $0.sign)?.name }
      }
    }
  }

  /// Domains and signs of the texts that may have `template`: a rule `film.aspect` occurs in texts about films only.
  private func targets(of template: Template) -> [(domain: String?, sign: Sign)] {
    let own = domains.filter { template.rule.hasPrefix($0 + ".") }
    let places: [String?] = domains.isEmpty ? [nil] : own.isEmpty ? domains : own
    let signs = template.sign.map { [$0] } ?? Sign.allCases
    return places.flatMap { domain in signs.map { (domain, $0) } }
  }

  // MARK: Checks

  private func checkSymbols(_ given: Given) throws {
    for template in ruleNames.flatMap({ rules[$0]?.alternatives ?? [] }) {
      let isFilled = given.rules.contains { Self.isRule(template.rule, of: $0) }
      for symbol in template.symbols where !isFilled || !given.symbols.contains(symbol.name) {
        for (domain, sign) in targets(of: template) {
          let name = symbol.rule(sign)
          guard let rule = rule(symbol, domain: domain, sign: sign) else {
            let place = domain.map { " or '\($0).\(name)'" } ?? ""
            throw invalid(
              template.line, "expected a rule '\(name)'\(place) for a symbol of rule '\(template.rule)', found none",
              given.symbols.contains(symbol.name)
                ? "write it in alternatives of \(given.rules.joined(separator: " and ")) only, or add the rule"
                : "add the rule or correct the symbol's name")
          }
          let usable = rule.alternatives.count { $0.isDrawn(in: sign) }
          guard usable >= symbol.number else {
            throw invalid(
              template.line,
              "expected \(symbol.number) alternatives of rule '\(rule.name)' for '{\(symbol.name)\(symbol.number)}' in a "
                + "\(sign.rawValue) text, found \(usable)", "add alternatives to line \(rule.line)")
          }
        }
        guard symbol.stance != .mirror || hasMirror(symbol, in: template) else {
          throw invalid(
            template.line, "expected '{\(symbol.name):same}' before ':mirror', in two rules of equal length",
            "name the word whose counterpart is meant, and write the two rules in pairs")
        }
      }
    }
  }

  private func hasMirror(_ symbol: Symbol, in template: Template) -> Bool {
    let (good, bad) = (rules[symbol.name + ".good"], rules[symbol.name + ".bad"])
    let first = template.symbols.first { $0.name == symbol.name && $0.number == symbol.number }
    return first?.stance == .same && good?.alternatives.count == bad?.alternatives.count
  }

  private func checkRecursion() throws {
    var finished: Set<String> = []
    func visit(_ name: String, _ trail: [String]) throws {
      if let start = trail.firstIndex(of: name) {
        throw invalid(
          rules[name]?.line ?? 0,
          "expected rules that come to an end, found \((trail[start...] + [name]).joined(separator: " -> "))",
          "write the repetition out")
      }
      guard !finished.contains(name) else { return }
      for next in successors(of: name) { try visit(next, trail + [name]) }
      finished.insert(name)
    }
    for name in ruleNames { try visit(name, []) }
  }

  private func invalid(_ line: Int, _ problem: String, _ remedy: String) -> GrammarError {
    .invalid(path: path, line: line, problem: problem, remedy: remedy)
  }
}

/// What is wrong with a grammar.
public enum GrammarError: DescribedError, Equatable {
  /// `line` counts from 1.
  case invalid(path: String, line: Int, problem: String, remedy: String)
  /// `count` texts of a kind were asked for, which the grammar does not give.
  case exhausted(path: String, kind: String, count: Int)

  public var description: String {
    switch self {
    case .invalid(let path, let line, let problem, let remedy): "grammar \(path):\(line): \(problem); \(remedy)"
    case .exhausted(let path, let kind, let count):
      "grammar \(path): it does not give \(count) different texts for \(kind); ask for fewer or add alternatives"
    }
  }
}
