/// What replaying one case of the reference data showed.
public struct CaseReport: Sendable {
  public enum Outcome: Sendable {
    case compared([Finding])
    /// The program has no such model, method or function.
    case notSupported(reason: String)
    /// The reference data cannot be used.
    case unreadable(reason: String)
  }

  public let name: String
  public let outcome: Outcome
  /// Rows that disagree and that the reference itself calls optional: listed, not counted.
  public let knownExceptions: [String]

  public init(_ name: String, _ outcome: Outcome, knownExceptions: [String] = []) {
    self.name = name
    self.outcome = outcome
    self.knownExceptions = knownExceptions
  }

  /// Runs `body` and sorts what it throws: `NotSupported`, or data that cannot be used.
  init(_ name: String, _ body: () throws -> [Finding]) {
    do {
      self.init(name, .compared(try body()))
    } catch let error as NotSupported {
      self.init(name, .notSupported(reason: error.reason))
    } catch {
      self.init(name, .unreadable(reason: "\(error)"))
    }
  }

  public var agrees: Bool {
    guard case .compared(let findings) = outcome else { return false }
    return !findings.isEmpty && findings.allSatisfy(\.agrees)
  }

  /// One line for the case, and an indented one for each complaint and exception.
  public var text: String {
    let line: String
    var details: [String] = []
    switch outcome {
    case .compared(let findings):
      let summaries = findings.map(\.summary).joined(separator: ", ")
      line = "\(name): \(summaries): \(agrees ? "ok" : "OUT OF TOLERANCE")"
      details = findings.compactMap(\.complaint)
    case .notSupported(let reason): line = "\(name): not supported (\(reason))"
    case .unreadable(let reason): line = "\(name): error: \(reason)"
    }
    return ([line] + (details + knownExceptions.map { "known exception: \($0)" }).map { "  \($0)" })
      .joined(separator: "\n")
  }
}

/// Thrown where a case asks for something the program does not have.
struct NotSupported: Error {
  let reason: String
}

/// The sum over all cases.
public struct Verdict: Sendable, Equatable {
  public private(set) var caseCount = 0
  public private(set) var outOfTolerance = 0
  public private(set) var notSupported = 0
  public private(set) var unreadable = 0

  public init() {}

  public mutating func record(_ report: CaseReport) {
    caseCount += 1
    switch report.outcome {
    case .compared: outOfTolerance += report.agrees ? 0 : 1
    case .notSupported: notSupported += 1
    case .unreadable: unreadable += 1
    }
  }

  public var passed: Bool { caseCount > 0 && outOfTolerance + notSupported + unreadable == 0 }

  /// The last line of the output.
  public var text: String {
    if passed { return "conformance: \(caseCount) of \(caseCount) cases agree" }
    if caseCount == 0 { return "conformance: FAILED: nothing to replay" }
    let counts = [
      (outOfTolerance, "out of tolerance"), (notSupported, "not supported"), (unreadable, "unreadable"),
    ].filter { $0.0 > 0 }
    let parts = counts.enumerated().map { index, part in
      index == 0 ? "\(part.0) of \(caseCount) cases \(part.1)" : "\(part.0) \(part.1)"
    }
    return "conformance: FAILED: " + parts.joined(separator: ", ")
  }
}
