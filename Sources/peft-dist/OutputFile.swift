import Checkpoints
import Foundation

/// A file that a command writes at its end.
enum OutputFile {
  /// Finds out before the work whether its result can be written.
  static func requireWritable(_ path: String) throws {
    let url = URL(fileURLWithPath: path)
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      throw CheckpointError.wrongKind(path: path, expected: "the name of a file to write", found: "a folder")
    }
    let folder = url.deletingLastPathComponent().path
    guard access(folder + "/.", W_OK) == 0 else {
      throw CheckpointError.system(action: "write into", path: folder, code: errno)
    }
  }
}
