import Checkpoints
import Diagnostics
import Foundation

/// Folders that a run writes to: output, cache, shared memory.
enum FolderExamination {
  static func examineOutput(_ output: String, _ report: inout MachineReport) {
    let path = URL(fileURLWithPath: output).path
    let space = FileSystemSpace(of: path)
    report.add(
      "output", path + (space.map { ", \(ReadableNumbers.bytes($0.free)) free" } ?? ""),
      ["path": .string(path), "free_bytes": JSON(space?.free)])
    if access(path, W_OK) != 0 {
      let reason = String(cString: strerror(errno))
      report.problem("cannot write to \(path): \(reason)", fix: "name another folder with --output")
    } else if let space, space.free < 1 << 30 {
      report.problem(
        "only \(ReadableNumbers.bytes(space.free)) are free in \(path)", fix: "make room, or name another folder")
    }
  }

  /// Ranks of one machine exchange their messages through `/dev/shm`.
  static func examineSharedMemory(_ folder: String = "/dev/shm", ranks: Int, _ report: inout MachineReport) {
    guard let space = FileSystemSpace(of: folder) else {
      report.add("shared memory", "no \(folder)", nil)
      report.problem(
        "there is no \(folder), through which ranks of one machine speak", fix: "mount -t tmpfs tmpfs \(folder)")
      return
    }
    report.add(
      "shared memory",
      "\(folder), \(ReadableNumbers.bytes(space.total)), of them \(ReadableNumbers.bytes(space.free)) free",
      ["path": .string(folder), "total_bytes": .integer(space.total), "free_bytes": .integer(space.free)])
    if access(folder, W_OK) != 0 {
      report.problem("cannot write to \(folder): \(String(cString: strerror(errno)))", fix: "chmod 1777 \(folder)")
    } else if space.free < ranks * 32 << 20 {
      report.problem(
        "\(folder) has only \(ReadableNumbers.bytes(space.free)) free for \(ranks) ranks, which take up to 32 MB each",
        fix: "enlarge it (docker --shm-size 1g, or mount -o remount,size=1G \(folder))")
    }
  }

  /// The cache folder and what lies in it, by sub-folder.
  static func examineCaches(_ folder: URL, _ report: inout MachineReport) {
    let parts = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
      .map { (name: $0, bytes: byteCount(folder.appendingPathComponent($0))) }
    let total = parts.reduce(0) { $0 + $1.bytes }
    let list = parts.map { "\($0.name) \(ReadableNumbers.bytes($0.bytes))" }.joined(separator: ", ")
    report.add(
      "caches", "\(folder.path), \(ReadableNumbers.bytes(total))\(list.isEmpty ? "" : " (\(list))")",
      [
        "path": .string(folder.path), "bytes": .integer(total),
        "parts": .object(Dictionary(parts.map { ($0.name, .integer($0.bytes)) }, uniquingKeysWith: { $1 })),
      ])
    // A folder that is not there yet is made in the nearest one above it that is.
    var place = folder
    while access(place.path, F_OK) != 0, place.path != "/" { place.deleteLastPathComponent() }
    var isFolder: ObjCBool = false
    _ = FileManager.default.fileExists(atPath: place.path, isDirectory: &isFolder)
    let failure = !isFolder.boolValue ? ENOTDIR : access(place.path, W_OK) != 0 ? errno : 0
    if failure != 0 {
      report.problem(
        "cannot write to the cache folder \(folder.path): \(String(cString: strerror(failure)))",
        fix: "set XDG_CACHE_HOME to a folder of yours, or give --cache-dir")
    } else if let space = FileSystemSpace(of: place.path), total > space.free {
      report.note(
        "the caches take \(ReadableNumbers.bytes(total)), and \(ReadableNumbers.bytes(space.free)) are free beside them",
        fix: "remove \(folder.path) when nothing runs; what is needed is made again")
    }
  }

  /// Bytes of the files in a folder, or of one file; links are not followed.
  private static func byteCount(_ url: URL) -> Int {
    let keys: Set<URLResourceKey> = [.isRegularFileKey, .fileSizeKey]
    func size(_ file: URL) -> Int {
      let values = try? file.resourceValues(forKeys: keys)
      return values?.isRegularFile == true ? values?.fileSize ?? 0 : 0
    }
    let inside = FileManager.default.enumerator(at: url, includingPropertiesForKeys: Array(keys))
    return size(url) + (inside?.reduce(0) { total, entry in total + ((entry as? URL).map(size) ?? 0) } ?? 0)
  }
}
