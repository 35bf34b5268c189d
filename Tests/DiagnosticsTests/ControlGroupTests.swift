import Foundation
import Testing

@testable import Diagnostics

/// Limits of control groups, read from folders that look like a machine; `launch.sh` must read the same.
@Suite struct ControlGroupTests {
  /// A machine: its `/proc/self/cgroup`, mounts and limits.
  struct Machine: CustomTestStringConvertible, Sendable {
    let testDescription: String
    var groups: String
    var mounts: [String]
    var files: [String: String]
    var cpuQuota: Double?
    var wholeCores: Int?
    var memoryLimit: Int?
  }

  private static let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
  private static let cpu = "33 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct"
  private static let memory = "34 32 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"

  static let machines: [Machine] = [
    .init(testDescription: "no control groups", groups: "", mounts: [], files: [:]),
    .init(
      testDescription: "version 2 without limits", groups: "0::/user/session", mounts: [unified],
      files: ["sys/fs/cgroup/user/cpu.max": "max 100000", "sys/fs/cgroup/user/session/memory.max": "max"]),
    .init(
      testDescription: "a container's own root", groups: "0::/", mounts: [unified],
      files: ["sys/fs/cgroup/cpu.max": "300000 100000", "sys/fs/cgroup/memory.max": "1073741824"],
      cpuQuota: 3, wholeCores: 3, memoryLimit: 1 << 30),
    .init(
      testDescription: "a fraction of a core", groups: "0::/", mounts: [unified],
      files: ["sys/fs/cgroup/cpu.max": "25000 100000"], cpuQuota: 0.25, wholeCores: 1),
    .init(
      testDescription: "two and a half cores", groups: "0::/", mounts: [unified],
      files: ["sys/fs/cgroup/cpu.max": "250000 100000"], cpuQuota: 2.5, wholeCores: 2),
    .init(
      testDescription: "the group above allows less", groups: "0::/slurm/job/step", mounts: [unified],
      files: [
        "sys/fs/cgroup/slurm/job/step/cpu.max": "800000 100000", "sys/fs/cgroup/slurm/job/cpu.max": "200000 50000",
        "sys/fs/cgroup/slurm/cpu.max": "max 100000", "sys/fs/cgroup/slurm/memory.max": "5000",
        "sys/fs/cgroup/slurm/job/memory.max": "max",
      ], cpuQuota: 4, wholeCores: 4, memoryLimit: 5000),
    .init(
      testDescription: "a group beside ours allows less", groups: "0::/ours", mounts: [unified],
      files: ["sys/fs/cgroup/ours/cpu.max": "max 100000", "sys/fs/cgroup/other/cpu.max": "100000 100000"]),
    .init(
      testDescription: "version 1", groups: "5:memory:/a\n4:cpu,cpuacct:/a/b\n1:name=systemd:/", mounts: [cpu, memory],
      files: [
        "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "150000",
        "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "50000",
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "2048",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
      ], cpuQuota: 3, wholeCores: 3, memoryLimit: 2048),
    .init(
      testDescription: "version 1 in a container that sees the host's path", groups: "4:cpu,cpuacct:/docker/abc",
      mounts: ["33 32 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct"],
      files: [
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
      ], cpuQuota: 2, wholeCores: 2),
    .init(
      testDescription: "both versions, limits in the first", groups: "1:cpu,cpuacct:/\n0::/x",
      mounts: [
        cpu, "35 32 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
      ],
      files: [
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "700000", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/unified/x/cgroup.procs": "1",
      ], cpuQuota: 7, wholeCores: 7),
    .init(
      testDescription: "a path outside of the container", groups: "0::/../../other", mounts: [unified],
      files: ["sys/fs/cgroup/cpu.max": "600000 100000"], cpuQuota: 6, wholeCores: 6),
    .init(
      testDescription: "nonsense", groups: "0::/\nnothing\n7:cpu", mounts: [unified, "short"],
      files: ["sys/fs/cgroup/cpu.max": "a[$(id)] 0", "sys/fs/cgroup/memory.max": ""]),
  ]

  @Test(arguments: machines) func leastOfAllGroups(_ machine: Machine) throws {
    let folder = try Self.build(machine)
    defer { try? FileManager.default.removeItem(at: folder) }
    let group = ControlGroup(system: folder.path)
    #expect(group.cpuQuota == machine.cpuQuota)
    #expect(group.wholeCores == machine.wholeCores)
    #expect(group.memoryLimit == machine.memoryLimit)
    #expect(try Self.launcherQuota(folder) == machine.wholeCores.map { "\($0)" } ?? "")
  }

  private static func build(_ machine: Machine) throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)")
    var files = machine.files
    files["proc/self/cgroup"] = machine.groups
    files["proc/self/mountinfo"] = machine.mounts.joined(separator: "\n")
    for (path, text) in files {
      let file = folder.appending(path: path)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data((text + "\n").utf8).write(to: file)
    }
    return folder
  }

  /// What `cpu_quota` of `scripts/machine.bash` prints for the machine in `folder`.
  private static func launcherQuota(_ folder: URL) throws -> String {
    var root = URL(filePath: #filePath)
    for _ in 0..<3 { root.deleteLastPathComponent() }
    let (process, pipe) = (Process(), Pipe())
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [
      "bash", "-euo", "pipefail", "-c", ". \"$1\"; cpu_quota \"$2\"", "-",
      root.appending(path: "scripts/machine.bash").path, folder.path,
    ]
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
