import CMPI
import Diagnostics
import Foundation

/// The MPI library that this process runs with.
public enum MPILibrary {
  /// "Open MPI v5.0.7" and the like; may be asked before MPI has been started.
  public static let version: String = {
    var characters = [CChar](repeating: 0, count: Int(cmpi_max_library_version()) + 1)
    var length: Int32 = 0
    guard MPI_Get_library_version(&characters, &length) == 0 else { return "unknown" }
    let text = String(decoding: characters.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // "Open MPI v4.1.4, package: …" in one line.
    return text.split(whereSeparator: { $0 == "," || $0.isNewline }).first.map(String.init) ?? "unknown"
  }()

  /// The first number of the version; nil where the library is no Open MPI.
  static func major(of version: String) -> Int? {
    guard version.hasPrefix("Open MPI v") else { return nil }
    return Int(version.dropFirst("Open MPI v".count).prefix { $0.isNumber })
  }

  /// Open files with which a process alone starts, with room for model and run folder: 32 are enough for Open MPI 4.1.
  static let openFileCount = 64

  /// Open MPI puts its session there, and would say in forty lines that it cannot.
  ///
  /// - Throws: `CollectivesError.temporaryFolder`.
  static func requireTemporaryFolder() throws {
    let environment = ProcessInfo.processInfo.environment
    if isAlone(environment), major(of: version) == 4 { return }
    let path = ["TMPDIR", "TEMP", "TMP"].compactMap { environment[$0] }.first { !$0.isEmpty } ?? "/tmp"
    // What is not there is made, as Open MPI itself does.
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    guard access(path, W_OK | X_OK) == 0 else {
      throw CollectivesError.temporaryFolder(path: path, reason: String(cString: strerror(errno)))
    }
  }

  /// What the library is told before it starts.
  static func prepare() {
    // Open MPI 5 does not start without a home, be it one that does not exist.
    setenv("HOME", UserFolders.home ?? "/nonexistent", 0)
    let environment = ProcessInfo.processInfo.environment
    for (name, value) in settings(major: major(of: version), environment: environment) { setenv(name, value, 0) }
  }

  /// Whether nobody has launched this process as one of several.
  private static func isAlone(_ environment: [String: String]) -> Bool {
    !["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMIX_NAMESPACE", "PMI_RANK", "PMI_FD", "PMI_SIZE"].contains {
      environment[$0] != nil
    }
  }

  /// A process alone needs no transport. Open MPI 4 would start a daemon beside it, and without that all such processes of a
  /// machine would share one session folder and take it from each other; it does without both.
  ///
  /// Ranks of one machine speak through shared memory. Open MPI 5 opens its TCP transport all the same and warns on every
  /// rank where it finds no network ("Unable to find reachable pairing between local and remote interfaces"); so it is left
  /// out there, unless someone chose the transports.
  static func settings(major: Int?, environment: [String: String]) -> [String: String] {
    if isAlone(environment) {
      return [
        "OMPI_MCA_btl": "self", "OMPI_MCA_ess_singleton_isolated": "1", "OMPI_MCA_orte_create_session_dirs": "0",
      ]
    }
    guard let major, major >= 5, let size = environment["OMPI_COMM_WORLD_SIZE"],
      size == environment["OMPI_COMM_WORLD_LOCAL_SIZE"],
      !["OMPI_MCA_btl", "OMPI_MCA_pml"].contains(where: { environment[$0] != nil })
    else { return [:] }
    return ["OMPI_MCA_btl": "self,sm"]
  }
}
