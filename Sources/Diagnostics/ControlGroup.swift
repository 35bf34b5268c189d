import Foundation

/// What the control groups of this process allow it: the least of its own group and of all above it, as far as they can
/// be seen (from inside a container, up to the container's own).
///
/// Sources: cgroup version 2, https://docs.kernel.org/admin-guide/cgroup-v2.html (`cpu.max`, `memory.max`); version 1,
/// https://docs.kernel.org/scheduler/sched-bwc.html (`cpu.cfs_quota_us`, `cpu.cfs_period_us`), and
/// `memory.limit_in_bytes`. `scripts/machine.bash` reads the same for `launch.sh`.
public struct ControlGroup: Sendable, Equatable {
  /// CPU time per time, in cores; nil without a limit.
  public let cpuQuota: Double?
  /// Bytes; nil without a limit.
  public let memoryLimit: Int?

  public static let ofThisProcess = ControlGroup(system: "")

  /// - Parameter system: what stands in front of every absolute path; `""` but for tests.
  init(system: String) {
    let folders = Self.folders(system: system)
    cpuQuota = folders.cpu.compactMap(Self.cpuQuota).min()
    memoryLimit = folders.memory.compactMap(Self.memoryLimit).min()
  }

  /// The quota in whole cores, at least 1: a part of a core more would only be waited for.
  public var wholeCores: Int? { cpuQuota.map { max(1, Int(min($0, 1e6))) } }

  // MARK: Folders

  /// The folders of the groups of this process, its own first, that hold limits of CPU time and of memory.
  private static func folders(system: String) -> (cpu: [String], memory: [String]) {
    var (cpu, memory): ([String], [String]) = ([], [])
    let mounts = mounts(system: system)
    for line in lines("\(system)/proc/self/cgroup") {
      // "4:memory:/a/b" in version 1, "0::/a/b" in version 2.
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
      guard fields.count == 3 else { continue }
      let controllers = Set(fields[1].split(separator: ",").map(String.init))
      for mount in mounts {
        let found = mount.folders(of: fields[2], system: system)
        if fields[1].isEmpty {
          guard mount.isVersion2 else { continue }
          cpu += found
          memory += found
        } else if !mount.isVersion2 {
          if controllers.contains("cpu"), mount.controllers.contains("cpu") { cpu += found }
          if controllers.contains("memory"), mount.controllers.contains("memory") { memory += found }
        }
      }
    }
    return (cpu, memory)
  }

  private struct Mount {
    let isVersion2: Bool
    let controllers: Set<String>
    /// The group that the mount point shows.
    let root: String
    let point: String

    /// The folders of `group` and those above it, up to the mount point.
    func folders(of group: String, system: String) -> [String] {
      let shown = root != "/" && group.hasPrefix(root) ? String(group.dropFirst(root.count)) : group
      var path = shown == "/" ? "" : shown
      // Groups outside of what a container sees begin with "/..".
      if path.hasPrefix("/..") || access(system + point + path, F_OK) != 0 { path = "" }
      var folders: [String] = []
      while let slash = path.lastIndex(of: "/") {
        folders.append(system + point + path)
        path = String(path[..<slash])
      }
      return folders + [system + point]
    }
  }

  /// From lines such as `31 23 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu`.
  private static func mounts(system: String) -> [Mount] {
    lines("\(system)/proc/self/mountinfo").compactMap { line in
      let fields = line.split(separator: " ").map(String.init)
      guard let dash = fields.firstIndex(of: "-"), dash >= 5, fields.count > dash + 3,
        ["cgroup", "cgroup2"].contains(fields[dash + 1])
      else { return nil }
      return Mount(
        isVersion2: fields[dash + 1] == "cgroup2",
        controllers: Set(fields[dash + 3].split(separator: ",").map(String.init)), root: fields[3], point: fields[4])
    }
  }

  // MARK: Limits

  private static func cpuQuota(_ folder: String) -> Double? {
    var words = lines("\(folder)/cpu.max").first?.split(separator: " ").map(String.init) ?? []
    if words.isEmpty {
      words = ["\(folder)/cpu.cfs_quota_us", "\(folder)/cpu.cfs_period_us"].compactMap { lines($0).first }
    }
    guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), quota > 0, period > 0,
      quota.isFinite, period.isFinite
    else { return nil }
    return quota / period
  }

  private static func memoryLimit(_ folder: String) -> Int? {
    let text = lines("\(folder)/memory.max").first ?? lines("\(folder)/memory.limit_in_bytes").first
    // Version 1 writes the largest multiple of a page for "no limit".
    guard let limit = text.flatMap({ Int($0) }), limit > 0, limit < 1 << 60 else { return nil }
    return limit
  }

  private static func lines(_ path: String) -> [String] {
    guard let text = KernelFile.text(path) else { return [] }
    return text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
  }
}
