import Checkpoints
import Collectives
import Diagnostics
import Foundation

/// Cores, memory, and what control groups and `ulimit` leave of them.
enum LimitExamination {
  @MainActor
  static func examineCores(_ report: inout MachineReport, world: World) throws {
    let (own, usable) = (CPUAffinity.cores().count, CPUAffinity.usableCoreCount)
    let quota = ControlGroup.ofThisProcess.cpuQuota
    let rest =
      quota.map { String(format: "; its control group allows the time of %g", ($0 * 100).rounded() / 100) } ?? ""
    report.add(
      "cores", "\(own) of \(CPUAffinity.coresOfNode)\(rest)",
      [
        "allowed": .integer(own), "online": .integer(CPUAffinity.coresOfNode), "usable": .integer(usable),
        "cpu_quota": JSON(quota), "ranks_of_machine": .integer(world.localSize),
      ])
    // A single rank that was started without mpirun is bound by whoever started it, on purpose.
    if let warning = try CPUAffinity.bindingWarning(threads: max(1, usable / world.localSize), world: world),
      world.size > 1 || own == 1
    {
      report.problem(warning, fix: "launch.sh chooses a binding by itself")
    }
    if let quota, quota < 1 {
      report.note(
        "the control group allows less than one core, so every thread is stopped part of the time",
        fix: "raise the limit of the container (docker --cpus, cpu.max)")
    }
  }

  static func examineMemory(_ report: inout MachineReport) {
    let available = availableBytes
    let group = ControlGroup.ofThisProcess.memoryLimit
    let limits = ResourceLimits.read()
    report.add(
      "memory",
      (available.map { "\(ReadableNumbers.bytes($0)) available" } ?? "unknown")
        + (group.map { "; its control group allows \(ReadableNumbers.bytes($0)) in all" } ?? ""),
      ["available_bytes": JSON(available), "control_group_bytes": JSON(group)])
    func shown(_ value: Int?, _ text: (Int) -> String = { "\($0)" }) -> String { value.map(text) ?? "unlimited" }
    report.add(
      "limits",
      "address space \(shown(limits.addressSpace, ReadableNumbers.bytes)), open files \(shown(limits.openFiles)), "
        + "processes \(shown(limits.processes))",
      [
        "address_space_bytes": JSON(limits.addressSpace), "open_files": JSON(limits.openFiles),
        "processes": JSON(limits.processes), "locked_memory_bytes": JSON(limits.lockedMemory),
      ])
    findings(available: available, group: group, limits, &report)
  }

  /// What is too little. Thresholds: T5-small with its optimizer and a step's activations takes about 1 GB a rank.
  static func findings(available: Int?, group: Int?, _ limits: ResourceLimits, _ report: inout MachineReport) {
    let least = 2 << 30
    if let available, available < least {
      report.problem(
        "only \(ReadableNumbers.bytes(available)) of memory are available",
        fix: "end other programs, or train with fewer ranks and --precision fp16 or bf16")
    }
    if let group, group < least {
      report.problem(
        "the control group allows only \(ReadableNumbers.bytes(group)) of memory, and the kernel kills what takes more",
        fix: "raise the limit (docker --memory, Slurm --mem)")
    }
    if let space = limits.addressSpace, space < 4 * least {
      report.problem(
        "ulimit -v allows only \(ReadableNumbers.bytes(space)) of address space, of which libraries and mapped models take much",
        fix: "ulimit -v unlimited")
    }
    if let files = limits.openFiles, files < 256 {
      report.problem("ulimit -n allows only \(files) open files", fix: "ulimit -n 1024")
    }
    if let processes = limits.processes, processes < 256 {
      report.problem("ulimit -u allows only \(processes) processes and threads", fix: "ulimit -u 4096")
    }
  }

  /// `MemAvailable` of the kernel.
  private static var availableBytes: Int? {
    let text = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
    let kilobytes = ProcessMemory.kilobytes(in: text, "MemAvailable:")
    return kilobytes > 0 ? kilobytes * 1024 : nil
  }
}
