import Foundation

/// Room of the file system that holds a folder.
public struct FileSystemSpace: Sendable, Equatable {
  public let total: Int
  /// What this user may still write.
  public let free: Int

  /// Nil where the system does not say, for instance as there is no such folder.
  public init?(of path: String) {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return nil }
    let unit = Int(status.f_frsize)
    (total, free) = (Int(status.f_blocks) * unit, Int(status.f_bavail) * unit)
  }
}
