import Foundation

/// What tells whether a folder of files, such as an adapter, is still the same, wherever it lies.
public enum FolderDigest {
  /// SHA-256 over the names, relative to the folder, and digests of all files below it.
  ///
  /// - Throws: `CheckpointError` naming the file.
  public static func sha256(of folder: URL) throws -> String {
    let names = (try? FileManager.default.subpathsOfDirectory(atPath: folder.path)) ?? []
    var lines: [String] = []
    for name in names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
      let file = folder.appendingPathComponent(name)
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: file.path, isDirectory: &isFolder), !isFolder.boolValue else {
        continue
      }
      lines.append("\(name) \(try Checkpoints.sha256(of: file))")
    }
    return Array(lines.joined(separator: "\n").utf8).withUnsafeBytes { Checkpoints.sha256($0) }
  }
}
