import Diagnostics
import Foundation

/// Why there is no activation cache.
public enum ActivationCacheError: DescribedError {
  case noFolder(path: String, reason: String)
  case unusable(path: String, code: Int32)
  case noRoom(path: String, byteCount: Int, code: Int32)

  public var description: String {
    switch self {
    case .noFolder(let path, let reason):
      "cannot make the folder \(path) of the activation cache: \(reason); \(Self.wayOut)"
    case .unusable(let path, let code):
      "cannot map the activation cache \(path): \(String(cString: strerror(code))); \(Self.wayOut)"
    case .noRoom(let path, let byteCount, let code):
      "cannot take \(ReadableNumbers.bytes(byteCount)) in \(path) for the activation cache: "
        + "\(String(cString: strerror(code))); give --activation-cache less, or \(Self.wayOut)"
    }
  }

  private static let wayOut = "name another --activation-cache-dir, or take --activation-cache off"
}
