import Diagnostics

/// A method that cannot be set up as asked.
public enum MethodError: DescribedError, Equatable {
  case unknownMethod(name: String, known: [String])
  case badOption(option: String, value: String, expected: String)
  case nothingMatches(option: String, value: String, known: [String])
  case notLinear(option: String, module: String)
  case unsupported(path: String, key: String, value: String)
  case unfitTensors(path: String, problems: [String])
  case cannotMerge(method: String, reason: String)

  public var description: String {
    switch self {
    case .unknownMethod(let name, let known):
      "unknown method '\(name)'; known methods: \(known.joined(separator: ", "))"
    case .badOption(let option, let value, let expected):
      "\(option) is \(value); expected \(expected)"
    case .nothingMatches(let option, let value, let known):
      "\(option) '\(value)' matches no module of the model; its projections end in: \(known.joined(separator: ", "))"
    case .notLinear(let option, let module):
      "\(option) matches '\(module)', which is no linear projection; name projections only, such as q or v"
    case .unsupported(let path, let key, let value):
      "\(path), key '\(key)': \(value) is not supported by this version"
    case .unfitTensors(let path, let problems):
      "the adapter \(path) does not fit this model:\n  " + problems.joined(separator: "\n  ")
    case .cannotMerge(let method, let reason):
      "\(method) cannot be merged: \(reason)"
    }
  }
}
