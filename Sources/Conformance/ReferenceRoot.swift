import Checkpoints
import Foundation

/// The folder that paths within reference data are relative to.
struct ReferenceRoot {
  let url: URL

  /// The nearest folder above `path`, or `path` itself, that holds `models`.
  ///
  /// - Throws: `ConformanceError.noRoot`.
  init(containing path: URL) throws {
    var folder = path.standardizedFileURL
    while !Self.isFolder(folder.appendingPathComponent("models")) {
      guard folder.path != "/", !folder.path.isEmpty else { throw ConformanceError.noRoot(path: path.path) }
      folder.deleteLastPathComponent()
    }
    url = folder
  }

  /// The file or folder that `key` of `json` names.
  ///
  /// - Throws: `CheckpointError` without such a key, `ConformanceError.badPath` if it leads out of the root.
  func resolve(_ key: String, of json: JSONObject) throws -> URL {
    let path = try json.string(key)
    guard !path.isEmpty, !path.hasPrefix("/"), !path.contains("\0"),
      !path.split(separator: "/").contains("..")
    else { throw ConformanceError.badPath(file: json.origin, key: key, path: path) }
    return url.appendingPathComponent(path)
  }

  static func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

  static func isFolder(_ url: URL) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) && isFolder.boolValue
  }

  /// The folders within `url`, by name.
  static func folders(in url: URL) throws -> [URL] {
    try FileManager.default.contentsOfDirectory(atPath: url.path).sorted()
      .map { url.appendingPathComponent($0) }.filter(isFolder)
  }
}
