import Checkpoints
import Diagnostics
import Foundation

/// What killed runs have left behind: parts of files, activations, folders and segments of Open MPI.
enum LeftoverExamination {
  static func examine(output: String, cache: URL, _ report: inout MachineReport) {
    let leftovers =
      partials(in: URL(fileURLWithPath: output)) + partials(in: cache)
      + activations(in: [cache.appendingPathComponent("activations"), URL(fileURLWithPath: "/dev/shm")])
      + sessions(in: ["/dev/shm", ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp", "/tmp"])
    let paths = Set(leftovers).sorted()
    report.add("leftovers", paths.isEmpty ? "none" : "\(paths.count)", .array(paths.map(JSON.string)))
    for path in paths.prefix(shownCount) {
      report.note("\(path) is left of a run that was killed", fix: "rm -r \(quoted(path))")
    }
    if paths.count > shownCount {
      report.note(
        "\(paths.count - shownCount) more leftovers are like these", fix: "see \"leftovers\" of doctor --json")
    }
  }

  private static let shownCount = 10

  /// Files and folders `….partial-PID…` at most three levels below `folder` whose process is gone. (A process of another
  /// host that shares the folder cannot be seen: a part that was changed within the hour is left alone.)
  static func partials(in folder: URL) -> [String] {
    guard
      let entries = FileManager.default.enumerator(
        at: folder, includingPropertiesForKeys: [.contentModificationDateKey], options: [])
    else { return [] }
    var paths: [String] = []
    for case let entry as URL in entries {
      if entries.level > 3 { entries.skipDescendants() }
      guard let process = writer(of: entry.lastPathComponent) else { continue }
      entries.skipDescendants()
      if !isAlive(process), age(entry) > 3600 { paths.append(entry.path) }
    }
    return paths
  }

  /// The process that writes the part of this name; nil if it is none.
  static func writer(of name: String) -> pid_t? {
    for word in [".partial-", ".removed-"] {
      guard let range = name.range(of: word, options: .backwards) else { continue }
      return pid_t(name[range.upperBound...].prefix { $0.isASCII && $0.isNumber })
    }
    return nil
  }

  /// Activations lose their name as soon as all ranks have opened them.
  static func activations(in folders: [URL]) -> [String] {
    folders.flatMap { folder in
      ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [])
        .filter { $0.hasPrefix("activations-") && UUID(uuidString: String($0.dropFirst(12))) != nil }
        .map { folder.appendingPathComponent($0) }.filter { age($0) > 600 }.map(\.path)
    }
  }

  /// What Open MPI leaves when mpirun is killed: segments in shared memory and session folders, of this user, while no mpirun
  /// runs.
  private static func sessions(in folders: [String]) -> [String] {
    guard !launcherRuns() else { return [] }
    let starts = ["vader_segment.", "sm_segment.", "ompi.", "prte.", "prterun."]
    return Set(folders).flatMap { folder in
      ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
        .filter { name in starts.contains { name.hasPrefix($0) } }.map { "\(folder)/\($0)" }
        .filter { age(URL(fileURLWithPath: $0)) > 600 && owner($0) == getuid() }
    }
  }

  private static func launcherRuns() -> Bool {
    let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return processes.contains { process in
      guard Int(process) != nil, let name = try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8) else {
        return false
      }
      return ["mpirun", "mpiexec", "orterun", "orted", "prterun", "prte", "prted"].contains(
        name.trimmingCharacters(in: .whitespacesAndNewlines))
    }
  }

  private static func isAlive(_ process: pid_t) -> Bool { kill(process, 0) == 0 || errno == EPERM }

  private static func owner(_ path: String) -> uid_t? {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_uid : nil
  }

  /// Seconds since a file was last changed; 0 if nobody knows.
  private static func age(_ url: URL) -> Double {
    var status = stat()
    guard lstat(url.path, &status) == 0 else { return 0 }
    return Date().timeIntervalSince1970 - Double(status.st_mtim.tv_sec)
  }

  /// As a shell reads it.
  private static func quoted(_ path: String) -> String {
    let plain = path.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-+".contains($0)) }
    return plain ? path : "'" + path.replacing("'", with: "'\\''") + "'"
  }
}
