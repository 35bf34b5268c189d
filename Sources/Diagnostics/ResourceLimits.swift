import Foundation

/// Limits of the shell (`ulimit`) that training can run into; nil for "unlimited".
public struct ResourceLimits: Sendable, Equatable {
  /// Bytes of address space (`ulimit -v`, there in kilobytes).
  public var addressSpace: Int?
  /// Open files (`ulimit -n`).
  public var openFiles: Int?
  /// Processes and threads of this user (`ulimit -u`).
  public var processes: Int?
  /// Bytes of memory that may be locked (`ulimit -l`).
  public var lockedMemory: Int?

  public init(addressSpace: Int? = nil, openFiles: Int? = nil, processes: Int? = nil, lockedMemory: Int? = nil) {
    (self.addressSpace, self.openFiles, self.processes, self.lockedMemory) = (
      addressSpace, openFiles, processes, lockedMemory
    )
  }

  /// The limits of this process, as the kernel tells them: lines such as `Max open files     1024      4096      files`,
  /// of which the first number is the limit in force.
  public static func read() -> ResourceLimits {
    let text = KernelFile.text("/proc/self/limits") ?? ""
    func value(_ name: String) -> Int? {
      let line = text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
      return line?.dropFirst(name.count).split(separator: " ").first.flatMap { Int($0) }
    }
    return ResourceLimits(
      addressSpace: value("Max address space"), openFiles: value("Max open files"), processes: value("Max processes"),
      lockedMemory: value("Max locked memory"))
  }
}
