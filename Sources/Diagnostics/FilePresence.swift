import Foundation

/// What there is under a path: a link whose target is gone is something else than no file, since one was meant to be there.
public enum FilePresence: Sendable, Equatable {
  case absent
  case present
  case brokenLink(target: String)

  public init(_ url: URL) {
    let files = FileManager.default
    if files.fileExists(atPath: url.path) {
      self = .present
    } else if let target = try? files.destinationOfSymbolicLink(atPath: url.path) {
      self = .brokenLink(target: target)
    } else {
      self = .absent
    }
  }
}
