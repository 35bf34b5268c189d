import Checkpoints
import Foundation
import Testing

@Suite("Run folder lock")
struct RunFolderLockTests {
  /// The lock belongs to the open file, so a second attempt of one process is refused as that of another one is.
  @Test func oneHolderAtATime() throws {
    try withTemporaryFolder { folder in
      let run = folder.appendingPathComponent("runs/1")
      let lock = try RunFolderLock(run)
      let error = try checkpointError { try RunFolderLock(run) }
      guard case .locked(let path, let holder) = error else {
        Issue.record("another error: \(error)")
        return
      }
      #expect(path == run.path)
      #expect(holder.hasPrefix("process \(getpid()) on "))
      #expect("\(error)".contains("the run folder \(run.path) is in use"))
      withExtendedLifetime(lock) {}
    }
  }

  @Test func anotherProcessIsKeptOut() throws {
    try withTemporaryFolder { folder in
      let lock = try RunFolderLock(folder)
      let path = folder.appendingPathComponent(".lock").path
      #expect(try Self.flockExitStatus(path) == 1)
      withExtendedLifetime(lock) {}
    }
  }

  @Test func aReleasedLockBlocksNobody() throws {
    try withTemporaryFolder { folder in
      do { _ = try RunFolderLock(folder) }
      #expect(throws: Never.self) { try RunFolderLock(folder) }
      let other = try RunFolderLock(folder.appendingPathComponent("other"))
      #expect(throws: Never.self) { try RunFolderLock(folder) }
      withExtendedLifetime(other) {}
    }
  }

  @Test func aFileInsteadOfAFolder() throws {
    try withTemporaryFolder { folder in
      let file = try "x".write("run", in: folder)
      #expect(
        "\(try checkpointError { try RunFolderLock(file) })".contains("expected a folder, found a file"))
    }
  }

  /// What `flock -n` of util-linux says: 1 if another process has the lock.
  private static func flockExitStatus(_ path: String) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["flock", "-n", path, "true"]
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }
}
