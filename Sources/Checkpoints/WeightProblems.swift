/// Everything that keeps a set of weights from fitting a model.
public struct WeightProblems: Sendable, Equatable, CustomStringConvertible {
  /// A tensor of another shape or kind than the model needs.
  public struct Mismatch: Sendable, Equatable {
    public let name: String
    public let expected: String
    public let found: String
  }

  /// Names the model needs and the files do not have.
  public var missing: [String] = []
  public var mismatched: [Mismatch] = []
  /// Names the files have and the model has no use for.
  public var surplus: [String] = []

  public var isEmpty: Bool { missing.isEmpty && mismatched.isEmpty && surplus.isEmpty }

  public var description: String {
    let mismatches = mismatched.map { "\($0.name): expected \($0.expected), found \($0.found)" }
    return [
      ("missing", missing), ("of another shape or type", mismatches), ("not part of the model", surplus),
    ]
    .filter { !$0.1.isEmpty }
    .map { title, lines in "  \(title) (\(lines.count)):\n    \(lines.joined(separator: "\n    "))" }
    .joined(separator: "\n")
  }
}
