import Checkpoints

/// What `doctor` saw of one rank and its machine.
struct MachineReport {
  /// Something that was looked at: a word, what a person reads, what a program reads.
  struct Fact {
    let name: String
    let text: String
    let value: JSON
  }

  /// Something that is not as it should be, and how to mend it.
  struct Finding {
    enum Severity: String {
      /// Training fails, or is much slower than it need be.
      case problem
      /// Training works; worth knowing.
      case note
    }

    let severity: Severity
    let text: String
    let fix: String
  }

  private(set) var facts: [Fact] = []
  private(set) var findings: [Finding] = []

  mutating func add(_ name: String, _ text: String, _ value: JSON) {
    facts.append(Fact(name: name, text: text, value: value))
  }

  mutating func problem(_ text: String, fix: String) {
    findings.append(Finding(severity: .problem, text: text, fix: fix))
  }

  mutating func note(_ text: String, fix: String) {
    findings.append(Finding(severity: .note, text: text, fix: fix))
  }

  var problemCount: Int { findings.count { $0.severity == .problem } }

  /// A line for each fact and finding.
  func lines() -> [String] {
    func line(_ name: String, _ text: String) -> String {
      "  " + name.padding(toLength: max(10, name.count + 1), withPad: " ", startingAt: 0) + text
    }
    return facts.map { line($0.name, $0.text) }
      + findings.map { line($0.severity.rawValue, "\($0.text); fix: \($0.fix)") }
  }

  /// The facts by name, and `findings` with `severity`, `text` and `fix` of each.
  func json() -> [String: JSON] {
    var members = Dictionary(facts.map { ($0.name.replacing(" ", with: "_"), $0.value) }, uniquingKeysWith: { $1 })
    members["findings"] = .array(
      findings.map { ["severity": .string($0.severity.rawValue), "text": .string($0.text), "fix": .string($0.fix)] })
    return members
  }
}

extension JSON {
  /// `null` for nil.
  init(_ value: Int?) { self = value.map(JSON.integer) ?? .null }
  init(_ value: Double?) { self = value.map(JSON.double) ?? .null }
  init(_ value: String?) { self = value.map(JSON.string) ?? .null }
}
