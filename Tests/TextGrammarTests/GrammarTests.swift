import Foundation
import Testing

@testable import TextGrammar

@Suite struct GrammarTests {
  @Test(
    "Each error of a grammar names the line, what was expected and the way out",
    arguments: [
      ("a: x\nb {a}", 2, "expected 'name: alternatives'"),
      ("  x", 1, "expected a rule before the first alternative"),
      ("a: x\n\na: y", 3, "found 'a' of line 1 again"),
      ("a: x\nb:\n# none\nc: y", 2, "expected an alternative of rule 'b'"),
      ("a: x | | y", 1, "at most one of '+' and '-'"),
      ("a: x\n  *+- y", 2, "at most one of '+' and '-'"),
      ("a: x {b", 1, "expected symbols like {name}"),
      ("a: {b:some}\nb: x", 1, "expected symbols like {name}"),
      ("a: x {b} y", 1, "expected a rule 'b'"),
      ("a: {c:same}\nc.good: x", 1, "expected a rule 'c.bad'"),
      ("domain: film | book\na: {b}\nfilm.b: x", 2, "expected a rule 'b' or 'book.b'"),
      ("a: {b} {b2}\nb: x\n  * y", 1, "expected 2 alternatives of rule 'b'"),
      ("a: {b:mirror}\nb.good: x\nb.bad: y", 1, "before ':mirror'"),
      ("a: {b:same} {b:mirror}\nb.good: x | z\nb.bad: y", 1, "in two rules of equal length"),
      ("a: x | {b}\nb: {c}\nc: {a}", 1, "found a -> b -> c -> a"),
      ("a: x\r\n\ty\r\n\r\nA: z", 4, "expected 'name: alternatives'"),
    ])
  func errors(text: String, line: Int, problem: String) throws {
    let error = #expect(throws: GrammarError.self) { try Grammar(text, path: "g.txt") }
    guard case .invalid(let path, let found, let what, let remedy) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(path == "g.txt" && found == line && what.contains(problem) && !remedy.isEmpty, "\(error as Any)")
    #expect("\(try #require(error))".hasPrefix("grammar g.txt:\(line): "))
  }

  /// Only `passage` and `pair` have a review and opinions put in: elsewhere nothing would stand in their place.
  @Test(arguments: [("opening: hello {review} there", "review"), ("opening: {x}\nx: {opinion2}", "opinion")])
  func aGivenSymbolWhereNothingFillsIt(text: String, symbol: String) throws {
    let error = #expect(throws: GrammarError.self) { try Grammar(text, path: "g", given: ReviewMaker.given) }
    let message = try "\(#require(error))"
    #expect(message.contains("expected a rule '\(symbol)' for a symbol of rule"), "\(message)")
    #expect(message.hasSuffix("; write it in alternatives of passage and pair only, or add the rule"), "\(message)")
    _ = try Grammar(text + "\n\(symbol): a | b", path: "g", given: ReviewMaker.given)
    _ = try Grammar("pair.x: {\(symbol)} => x", path: "g", given: ReviewMaker.given)
  }

  @Test func aGrammarWithoutAnOpinionOfAKindIsRefused() throws {
    let text = try Self.shipped().replacing("* ", with: "").replacing("*-", with: "-").replacing("*+", with: "+")
    let grammar = try Grammar(text, path: "g.txt", given: ReviewMaker.given)
    let error = #expect(throws: GrammarError.self) { try ReviewMaker(grammar, seed: 1) }
    #expect("\(error as Any)".contains("an opinion marked '*'"))
    for (text, problem) in [
      ("note: x", "a rule 'domain'"), ("domain: {a}\na: x", "a rule 'domain'"), ("domain: x", "a rule 'opening'"),
      ("domain: x\nopening: + x", "a rule 'opening' for bad reviews"),
      ("domain: x\nopening: x\nnote: x\npassage: x\n\npair: x", "grammar g:6: expected ' => '"),
    ] {
      let error = #expect(throws: GrammarError.self) { try ReviewMaker(Grammar(text, path: "g"), seed: 1) }
      #expect("\(error as Any)".contains(problem), "\(text)")
    }
  }

  @Test func theSideOfATemplateIsThatOfItsWords() throws {
    let grammar = try Grammar(
      """
      a: {w:same} | {w:other} | {w:same} {w:other} | x | - {w.good} | + {w.good} {w.bad}
      w.good: one
      w.bad: two | three
      """, path: "g")
    let templates = grammar.templates(of: "a")
    #expect(templates.map { $0.surface(in: .bad) } == [.same, .other, .both, nil, .other, .both])
    #expect(templates.map(\.sign) == [nil, nil, nil, nil, .bad, .good])
  }

  @Test func everyRuleOfTheShippedGrammarIsReached() throws {
    let grammar = try Grammar(Self.shipped(), path: "grammar.txt", given: ReviewMaker.given)
    #expect(grammar.unreachable(from: ReviewMaker.roots) == [])
    #expect(grammar.unreachable(from: ["domain"]).contains("adj.good"))
    let words = ["good", "bad"].map { Set(grammar.templates(of: "adj." + $0).map(\.pieces).map { "\($0)" }) }
    #expect(words.map(\.count) == [24, 24] && words[0].isDisjoint(with: words[1]))
    for name in grammar.ruleNames where name.hasPrefix("opinion.") {
      let templates = grammar.templates(of: name)
      let unseen = Double(templates.count(where: \.isUnseen)) / Double(templates.count)
      #expect(templates.count { !$0.isUnseen } >= 8 && (0.25...0.4).contains(unseen), "\(name): \(unseen)")
    }
  }

  static func shipped() throws -> String {
    let root = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return try String(contentsOf: root.appending(path: "examples/reviews/grammar.txt"), encoding: .utf8)
  }
}
