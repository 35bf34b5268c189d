/// Reads the lines of a grammar file.
struct GrammarReader {
  let path: String
  private(set) var rules: [String: Grammar.Rule] = [:]
  private(set) var names: [String] = []

  init(path: String) { self.path = path }

  mutating func read(_ text: String) throws {
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let body = trimmed(line)
      guard !body.isEmpty, !body.hasPrefix("#") else { continue }
      try line.first?.isWhitespace == true ? addAlternatives(body, line: index + 1) : addRule(body, line: index + 1)
    }
    for name in names where rules[name]?.alternatives.isEmpty == true {
      throw invalid(
        rules[name]?.line ?? 0, "expected an alternative of rule '\(name)', found none",
        "write one behind the colon or indented below")
    }
  }

  private mutating func addRule(_ body: Substring, line: Int) throws {
    let end = body.firstIndex { $0 == ":" || $0 == "=" } ?? body.endIndex
    let name = String(trimmed(body[..<end]))
    guard end < body.endIndex, isName(name) else {
      throw invalid(
        line,
        "expected 'name: alternatives', 'name = alternatives' or an indented alternative, found '\(body.prefix(40))'",
        "names have small letters, dots and hyphens")
    }
    if let old = rules[name] {
      throw invalid(line, "expected a new rule, found '\(name)' of line \(old.line) again", "join the two rules")
    }
    rules[name] = Grammar.Rule(name: name, line: line, isFixed: body[end] == "=")
    names.append(name)
    let rest = trimmed(body[body.index(after: end)...])
    if !rest.isEmpty { try addAlternatives(rest, line: line) }
  }

  private mutating func addAlternatives(_ body: Substring, line: Int) throws {
    guard let name = names.last else {
      throw invalid(
        line, "expected a rule before the first alternative, found '\(body.prefix(40))'", "start the file with 'name:'")
    }
    for part in body.split(separator: "|", omittingEmptySubsequences: false) {
      let template = try template(trimmed(part), of: name, line: line)
      rules[name]?.alternatives.append(template)
    }
  }

  /// `*+ text with {symbols}`.
  private func template(_ part: Substring, of rule: String, line: Int) throws -> Template {
    let marks = part.prefix { "*+-".contains($0) }
    let text = trimmed(part.dropFirst(marks.count))
    guard !text.isEmpty, !(marks.contains("+") && marks.contains("-")) else {
      throw invalid(
        line, "expected an alternative with at most one of '+' and '-', found '\(part.prefix(40))'",
        "write its text, or take the bar away")
    }
    let sign: Sign? = marks.contains("+") ? .good : marks.contains("-") ? .bad : nil
    return Template(
      rule: rule, line: line, isUnseen: marks.contains("*"), sign: sign, pieces: try pieces(text, line: line))
  }

  private func pieces(_ text: Substring, line: Int) throws -> [Template.Piece] {
    var pieces: [Template.Piece] = []
    var rest = text
    while let start = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
      if start > rest.startIndex { pieces.append(.text(String(rest[..<start]))) }
      guard rest[start] == "{", let end = rest.firstIndex(of: "}"),
        let symbol = symbol(rest[rest.index(after: start)..<end])
      else {
        throw invalid(
          line, "expected symbols like {name}, {name2} or {name:same}, found '\(rest[start...].prefix(24))'",
          "behind the colon is same, other or mirror")
      }
      pieces.append(.symbol(symbol))
      rest = rest[rest.index(after: end)...]
    }
    return rest.isEmpty ? pieces : pieces + [.text(String(rest))]
  }

  private func symbol(_ text: Substring) -> Symbol? {
    let halves = text.split(separator: ":", omittingEmptySubsequences: false)
    let name = halves[0].prefix { !$0.isNumber }
    let number = name.count == halves[0].count ? 1 : Int(halves[0].dropFirst(name.count)) ?? 0
    let stance = halves.count == 2 ? Symbol.Stance(rawValue: String(halves[1])) : nil
    guard isName(String(name)), number > 0, halves.count == (stance == nil ? 1 : 2) else { return nil }
    return Symbol(name: String(name), number: number, stance: stance)
  }

  private func isName(_ text: String) -> Bool {
    text.first?.isLetter == true && text.utf8.allSatisfy { (97...122).contains($0) || $0 == 46 || $0 == 45 }
  }

  private func trimmed(_ text: Substring) -> Substring {
    let start = text.drop { $0.isWhitespace }
    return start.lastIndex { !$0.isWhitespace }.map { start[...$0] } ?? ""
  }

  private func invalid(_ line: Int, _ problem: String, _ remedy: String) -> GrammarError {
    .invalid(path: path, line: line, problem: problem, remedy: remedy)
  }
}
