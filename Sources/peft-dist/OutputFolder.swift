import Checkpoints
import Foundation

/// A folder that a command fills.
enum OutputFolder {
  /// The folder at `path`, which is not there yet or has nothing in it.
  ///
  /// - Throws: `CheckpointError` where it has something in it, is a file, or cannot be looked into.
  static func new(_ path: String) throws -> URL {
    let url = URL(fileURLWithPath: path)
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) else { return url }
    guard isFolder.boolValue else {
      throw CheckpointError.wrongKind(path: url.path, expected: "an empty or a new folder", found: "a file")
    }
    guard access(url.path + "/.", R_OK | W_OK | X_OK) == 0 else {
      throw CheckpointError.system(action: "write into", path: url.path, code: errno)
    }
    let contents = try FileManager.default.contentsOfDirectory(atPath: url.path)
    guard contents.isEmpty else {
      throw CheckpointError.wrongKind(
        path: url.path, expected: "an empty or a new folder", found: "one with \(contents.count) entries")
    }
    return url
  }
}
