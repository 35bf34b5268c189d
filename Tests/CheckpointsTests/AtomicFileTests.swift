import Checkpoints
import Diagnostics
import Foundation
import Testing

@Suite("Atomic files")
struct AtomicFileTests {
  /// A disk of 1.5 MB/s must not look like a stall of 60 s.
  @Test func longWritesAndDigestsGiveSignsOfProgress() throws {
    try withTemporaryFolder { folder in
      let file = folder.appending(path: "large")
      let before = PhaseBoard.read().progress
      let digest = try AtomicFile.write([UInt8](repeating: 7, count: 40 << 20), to: file)
      let written = PhaseBoard.read().progress
      #expect(written - before >= 9)
      #expect(try sha256(of: file) == digest.sha256)
      #expect(PhaseBoard.read().progress - written >= 9)
    }
  }

  @Test func replacesTheOldContents() throws {
    try withTemporaryFolder { folder in
      let url = folder.appendingPathComponent("state.json")
      try AtomicFile.write(["a": 1], to: url)
      try AtomicFile.write(["a": 2, "b": [true]], layout: .compact, to: url)
      #expect(try String(contentsOf: url, encoding: .utf8) == "{\"a\":2,\"b\":[true]}\n")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["state.json"])
    }
  }

  /// The SHA-256 of "abc" is the first example of FIPS 180-4.
  @Test func returnsSizeAndDigest() throws {
    try withTemporaryFolder { folder in
      let url = folder.appendingPathComponent("abc")
      let digest = try AtomicFile.write(Data("abc".utf8), to: url)
      let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
      #expect(digest == FileDigest(byteCount: 3, sha256: expected))
      #expect(try sha256(of: url) == expected)
    }
  }

  @Test func aFailedWriteLeavesTheOldFileAndNothingElse() throws {
    struct Interruption: Error {}
    try withTemporaryFolder { folder in
      let url = folder.appendingPathComponent("state")
      try AtomicFile.write(Data("old".utf8), to: url)
      #expect(throws: Interruption.self) {
        try AtomicFile.write(to: url) { sink in
          try sink.write(Data("new".utf8))
          throw Interruption()
        }
      }
      #expect(try Data(contentsOf: url) == Data("old".utf8))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["state"])
    }
  }

  @Test func leftoversOfOneFileGo() throws {
    try withTemporaryFolder { folder in
      let names = [".state.partial-7-1", ".state.partial-8-22", ".state2.partial-7-1", "state"]
      for name in names { try Data().write(to: folder.appendingPathComponent(name)) }
      AtomicFile.removeLeftovers(of: folder.appendingPathComponent("state"))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == Array(names[2...]))
    }
  }

  @Test func missingFolder() throws {
    let url = URL(fileURLWithPath: "/nowhere/state.json")
    let error = try checkpointError { try AtomicFile.write(["a": 1], to: url) }
    #expect("\(error)" == "cannot write /nowhere/state.json: No such file or directory (errno 2)")
  }

  @Test func folderInTheWay() throws {
    try withTemporaryFolder { folder in
      let error = try checkpointError { try AtomicFile.write(["a": 1], to: folder) }
      #expect("\(error)".contains(folder.path))
      #expect("\(error)".contains("Is a directory"))
    }
  }

  /// `/dev/full` refuses every write as a full disk does.
  @Test func fullDisk() throws {
    let error = try checkpointError {
      var sink = try FileSink(creating: URL(fileURLWithPath: "/dev/full"), named: "adapter.safetensors")
      try sink.write(Data("abc".utf8))
    }
    #expect("\(error)" == "cannot write adapter.safetensors: No space left on device (errno 28)")
  }

  @Test(.disabled(if: getuid() == 0, "root may write everywhere"))
  func folderWithoutPermission() throws {
    try withTemporaryFolder { folder in
      chmod(folder.path, 0o500)
      defer { chmod(folder.path, 0o700) }
      let url = folder.appendingPathComponent("state")
      let error = try checkpointError { try AtomicFile.write(["a": 1], to: url) }
      #expect(error == .system(action: "write", path: url.path, code: EACCES))
    }
  }

  /// A device, a FIFO or a socket is written to and stays what it is.
  @Test func specialFilesAreWrittenTo() throws {
    try withTemporaryFolder { folder in
      let pipe = folder.appending(path: "pipe")
      #expect(mkfifo(pipe.path, 0o600) == 0)
      let reader = open(pipe.path, O_RDONLY | O_NONBLOCK)
      defer { close(reader) }
      try AtomicFile.write(Data("text".utf8), to: pipe)
      var bytes = [UInt8](repeating: 0, count: 10)
      #expect(read(reader, &bytes, 10) == 4 && bytes.starts(with: Array("text".utf8)))
      var status = stat()
      #expect(lstat(pipe.path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
      // By way of a link, so that a fault of this test harms the link alone.
      let link = folder.appending(path: "null")
      try FileManager.default.createSymbolicLink(atPath: link.path, withDestinationPath: "/dev/null")
      try AtomicFile.write(Data("text".utf8), to: link)
      #expect(lstat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
      #expect(lstat(link.path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
    }
  }

  @Test func linksAreFollowed() throws {
    try withTemporaryFolder { folder in
      let (first, second, file) = (
        folder.appending(path: "first"), folder.appending(path: "second"), folder.appending(path: "file")
      )
      try FileManager.default.createSymbolicLink(atPath: first.path, withDestinationPath: "second")
      try FileManager.default.createSymbolicLink(atPath: second.path, withDestinationPath: file.path)
      // The file is not there yet, then it is.
      for text in ["one", "two"] {
        try AtomicFile.write(Data(text.utf8), to: first)
        #expect(try String(contentsOf: file, encoding: .utf8) == text)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: first.path) == "second")
      }
      try FileManager.default.removeItem(at: second)
      try FileManager.default.createSymbolicLink(atPath: second.path, withDestinationPath: "first")
      #expect(throws: CheckpointError.self) { try AtomicFile.write(Data("three".utf8), to: first) }
    }
  }
}
