import Foundation
import Testing

@testable import Diagnostics

@Suite struct UserFoldersTests {
  @Test func cachesOfUsersWithAndWithoutAHome() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    func caches(_ environment: [String: String], known: String? = nil) -> String {
      UserFolders.caches(environment: environment, knownHome: known).path
    }
    #expect(caches(["XDG_CACHE_HOME": "/x", "HOME": folder.path]) == "/x")
    // A relative path means nothing there.
    #expect(caches(["XDG_CACHE_HOME": "x", "HOME": folder.path]) == folder.path + "/.cache")
    #expect(caches([:], known: folder.path) == folder.path + "/.cache")
    #expect(caches(["HOME": ""], known: folder.path) == folder.path + "/.cache")
    #expect(caches(["HOME": "/nonexistent"], known: folder.path) == folder.path + "/.cache")
    #expect(caches(["HOME": "/nonexistent", "TMPDIR": folder.path]) == folder.path + "/peft-dist-\(getuid())")
    #expect(caches([:]) == "/tmp/peft-dist-\(getuid())")
    // A folder that somebody else could have prepared is not trusted.
    let ours = folder.appending(path: "peft-dist-\(getuid())")
    try FileManager.default.createSymbolicLink(at: ours, withDestinationURL: folder)
    #expect(caches(["TMPDIR": folder.path]) == ours.path + "-\(getpid())")
  }
}
