import Diagnostics
import Foundation

/// The cores a process may run on, and whether `mpirun` has tied this one too short.
///
/// mpirun binds each of up to two ranks to one core and more ranks to a socket or NUMA node unless told
/// otherwise; a rank with many threads then runs them all on that core.
public enum CPUAffinity {
  /// Numbers of the cores that a process (nil: this one) may use, its affinity mask; empty if the system does
  /// not say.
  public static func cores(ofProcess process: pid_t? = nil) -> Set<Int> {
    // sched_getaffinity is a GNU extension that Swift's Glibc does not show; the kernel tells the same here.
    let path = "/proc/\(process.map { "\($0)" } ?? "self")/status"
    guard let text = try? String(contentsOfFile: path, encoding: .utf8),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Cpus_allowed_list:") }),
      let list = line.split(separator: ":").last
    else { return [] }
    return numbers(inList: list)
  }

  /// How many cores a process may keep busy: those it may run on, and no more than its control group has CPU time for.
  public static var usableCoreCount: Int { limited(max(1, cores().count)) }

  /// `count` cores, as far as the control group has CPU time for them.
  private static func limited(_ count: Int) -> Int { min(count, ControlGroup.ofThisProcess.wholeCores ?? count) }

  /// The numbers of a kernel list such as `0-3,8,10-11`.
  static func numbers(inList list: Substring) -> Set<Int> {
    var numbers: Set<Int> = []
    for part in list.split(separator: ",") {
      let bounds = part.split(separator: "-").compactMap { Int($0.filter(\.isNumber)) }
      guard let first = bounds.first, let last = bounds.last, first <= last else { continue }
      numbers.formUnion(first...last)
    }
    return numbers
  }

  /// Cores of the machine that are switched on.
  public static var coresOfNode: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// Numbers of the cores this process could use if `mpirun` did not bind it: those of the launcher above it.
  /// Without a launcher, its own. (Not all of the machine: a container or a batch system may have given us
  /// fewer.)
  public static func coresWithoutBinding() -> Set<Int> {
    var process = getppid()
    for _ in 0..<8 where process > 1 {
      guard let (name, parent) = nameAndParent(of: process) else { break }
      if launchers.contains(name) { return cores(ofProcess: process).union(cores()) }
      process = parent
    }
    return cores()
  }

  private static let launchers: Set<String> = [
    "mpirun", "mpiexec", "orterun", "orted", "prterun", "prte", "prted", "hydra_pmi_proxy", "slurmstepd",
  ]

  /// From /proc/PID/stat: "PID (name) state parent ...", where the name may hold blanks and parentheses.
  private static func nameAndParent(of process: pid_t) -> (name: String, parent: pid_t)? {
    guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
      let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")")
    else { return nil }
    let fields = text[text.index(after: close)...].split(separator: " ")
    guard fields.count > 1, let parent = pid_t(fields[1]) else { return nil }
    return (String(text[text.index(after: open)..<close]), parent)
  }

  /// What is wrong with the binding of this rank, and the flag that mends it; nil if nothing is.
  /// - Parameters:
  ///   - own: cores this rank may use.
  ///   - nodeUnion: cores that any rank of this machine may use.
  ///   - available: cores the ranks of this machine could use if unbound.
  ///   - threads: leaf workers of this rank.
  ///   - localSize: ranks on this machine.
  public static func bindingWarning(
    own: Int, nodeUnion: Int, available: Int, threads: Int, localSize: Int
  ) -> String? {
    let share = max(1, available / max(1, localSize))
    let remedy = "start mpirun with --bind-to none, or with --map-by slot:PE=\(share)"
    if own < share {
      return "this rank is bound to \(own) of \(available) cores, its share would be \(share): \(remedy)"
    }
    if nodeUnion < min(available, localSize * share) {
      return "the \(localSize) ranks of this machine are bound to the same "
        + "\(nodeUnion) of \(available) cores: \(remedy)"
    }
    if threads > own {
      return "this rank runs \(threads) threads on \(own) cores: lower --threads-per-rank to "
        + "\(min(own, share)), or start mpirun with --bind-to none if there are more cores"
    }
    return nil
  }

  /// That the ranks of a machine have more threads than their control group has CPU time for; nil if they have not.
  static func quotaWarning(_ quota: Double?, threads: Int, localSize: Int) -> String? {
    guard let quota, threads > 1, Double(threads * localSize) >= quota + 1 else { return nil }
    let text = String(format: "%g", (quota * 100).rounded() / 100)
    return "\(threads * localSize) threads of this machine's ranks share the CPU time of \(text) cores, which is what "
      + "their control group allows: lower --threads-per-rank to \(max(1, Int(quota) / localSize)), or raise the limit"
  }

  /// The warning for this rank; every rank must call it, as ranks of a machine compare their cores.
  @MainActor
  public static func bindingWarning(threads: Int, world: World) throws -> String? {
    let own = cores()
    let available = limited(coresWithoutBinding().count)
    var words = [Int64](repeating: 0, count: 1024)
    for core in own where core < 65_536 { words[core / 64] |= 1 << Int64(core % 64) }
    try world.reduceOnNode(&words, .bitwiseOr)
    return bindingWarning(
      own: own.count, nodeUnion: words.reduce(0) { $0 + $1.nonzeroBitCount }, available: available,
      threads: threads, localSize: world.localSize)
      ?? quotaWarning(ControlGroup.ofThisProcess.cpuQuota, threads: threads, localSize: world.localSize)
  }
}
