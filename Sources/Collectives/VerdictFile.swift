import Foundation

/// Tells `launch.sh` that this job is over for good: a rank that ends it makes the file that the launcher has named, in case
/// mpirun itself waits on for a host that is gone.
enum VerdictFile {
  private static let variable = "PEFT_DIST_VERDICT_FILE"

  static func make() {
    guard let path = ProcessInfo.processInfo.environment[variable], !path.isEmpty else { return }
    // On other hosts the folder may not exist; the launcher's own has ranks that do the same.
    let descriptor = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)
    if descriptor >= 0 { close(descriptor) }
  }
}
