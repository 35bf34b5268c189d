import Diagnostics
import Foundation

/// Whether `url` is a folder, nil if there is nothing.
func isFolder(_ url: URL) -> Bool? {
  var isFolder: ObjCBool = false
  let exists = FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder)
  return exists ? isFolder.boolValue : nil
}

/// Whether there is a file at `url`, or anything else that is no broken link.
///
/// - Throws: `CheckpointError.wrongKind` for a link to nothing, which is no absent file.
func isPresent(_ url: URL) throws -> Bool {
  switch FilePresence(url) {
  case .absent: return false
  case .present: return true
  case .brokenLink(let target):
    throw CheckpointError.wrongKind(
      path: url.path, expected: "a file", found: "a link to \(target), which does not exist; fetch the file again")
  }
}

/// - Throws: `CheckpointError` unless `url` is a folder.
func requireFolder(_ url: URL, purpose: String, remedy: String = "check the path") throws {
  switch isFolder(url) {
  case nil: throw CheckpointError.missing(path: url.path, purpose: purpose, remedy: remedy)
  case false?: throw CheckpointError.wrongKind(path: url.path, expected: "a folder", found: "a file")
  case true?: return
  }
}

/// Makes the folder `url` and those above it; one that is there already is left as it is.
/// - Throws: `CheckpointError` naming the path: no permission, a file in the way.
public func makeFolder(_ url: URL) throws {
  if isFolder(url) == true { return }
  if case .brokenLink(let target) = FilePresence(url) {
    throw CheckpointError.wrongKind(
      path: url.path, expected: "a folder", found: "a link to \(target), which does not exist; make that folder first")
  }
  let parent = url.deletingLastPathComponent()
  if parent.path != url.path { try makeFolder(parent) }
  do {
    try systemCall("make folder", url.path) { Int(mkdir(url.path, 0o777)) }
    try AtomicFile.synchronize(folder: parent)
  } catch CheckpointError.system(_, _, let code) where code == EEXIST {
    // Another process may have been faster.
    try requireFolder(url, purpose: "it was there a moment ago")
  }
}
