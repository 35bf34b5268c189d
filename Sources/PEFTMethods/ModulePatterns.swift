/// Values for some modules, by regular expressions of which the first that matches counts: `rank_pattern`, `alpha_pattern`.
public struct ModulePatterns<Value: Sendable & Equatable>: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  public struct Entry: Sendable, Equatable {
    public let pattern: String
    public let value: Value
  }

  /// Each pattern once, in the order of the file or flag.
  public private(set) var entries: [Entry] = []

  /// Of two equal patterns the last value counts.
  public init(_ pairs: [(String, Value)] = []) {
    for (pattern, value) in pairs {
      let entry = Entry(pattern: pattern, value: value)
      if let known = entries.firstIndex(where: { $0.pattern == pattern }) {
        entries[known] = entry
      } else {
        entries.append(entry)
      }
    }
  }

  public init(dictionaryLiteral elements: (String, Value)...) { self.init(elements) }

  public var values: [Value] { entries.map(\.value) }

  public func mapValues<Other>(_ transform: (Value) throws -> Other) rethrows -> ModulePatterns<Other> {
    ModulePatterns<Other>(try entries.map { ($0.pattern, try transform($0.value)) })
  }

  /// The value for the module at `path`, nil where no pattern matches (HF PEFT `get_pattern_key`).
  func value(path: String, option: String) throws -> Value? {
    for entry in entries {
      if try PythonExpression("(.*\\.)?(\(entry.pattern))", option: option).matches(path) { return entry.value }
    }
    return nil
  }
}
