import Diagnostics

/// Reference data that cannot be replayed.
public enum ConformanceError: DescribedError, Equatable {
  case nothingAt(path: String)
  case noRoot(path: String)
  case badPath(file: String, key: String, path: String)
  case badInputs(file: String, reason: String)

  public var description: String {
    switch self {
    case .nothingAt(let path):
      "replaying reference data: \(path) holds none: expected a case folder with case.json, one of the folders "
        + "cases, generation, optim, ops, metrics, tokenizers, or the folder that has them"
    case .noRoot(let path):
      "replaying \(path): no folder above it holds 'models', which its paths are relative to; "
        + "keep the case within the folder it came in"
    case .badPath(let file, let key, let path):
      "\(file), key '\(key)': expected a path below the root of the reference data, found '\(path)'"
    case .badInputs(let file, let reason):
      "\(file): \(reason)"
    }
  }
}
