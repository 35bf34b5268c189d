import Checkpoints
import Foundation

/// What tells whether data is still the same, wherever it lies.
public enum DataDigest {
  /// SHA-256 of a file, or of the names and digests of the files of a folder.
  ///
  /// - Throws: `DataError`, `CheckpointError` naming the file.
  public static func sha256(of location: URL) throws -> String {
    guard DataFolder.exists(location) else {
      throw DataError.missing(location, expected: "the file does not exist")
    }
    guard DataFolder.isDirectory(location) else { return try Checkpoints.sha256(of: location) }
    let lines = try DataFolder.files(of: location).map { file in
      "\(file.deletingLastPathComponent().lastPathComponent)/\(file.lastPathComponent) \(try Checkpoints.sha256(of: file))"
    }
    return Array(lines.joined(separator: "\n").utf8).withUnsafeBytes { Checkpoints.sha256($0) }
  }
}
