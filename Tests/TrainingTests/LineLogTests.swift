import Checkpoints
import Foundation
import Testing

@testable import Training

/// Histories of a run that is taken up again.
@Suite struct LineLogTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)")

  init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }

  private func lines(_ text: [UInt8], keepingUpTo step: Int) throws -> [UInt8] {
    let url = folder.appending(path: "metrics.jsonl")
    try Data(text).write(to: url)
    let log = try LineLog(url) { (try? $0.int("step")).map { $0 <= step } ?? false }
    log.append("{\"step\":9}")
    return Array(try Data(contentsOf: url))
  }

  /// One byte that is no UTF-8 costs no other line, and not even its own.
  @Test func aDamagedLineCostsNoOther() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let text =
      Array("{\"step\":1}\n{\"step\":2,\"a\":\"".utf8) + [0xFF] + Array("\"}\n{\"step\":3}\n{\"step\":4}\n".utf8)
    let kept =
      Array("{\"step\":1}\n{\"step\":2,\"a\":\"".utf8) + [0xFF] + Array("\"}\n{\"step\":3}\n{\"step\":9}\n".utf8)
    #expect(try lines(text, keepingUpTo: 3) == kept)
  }

  /// `\r\n` is one Character of Swift, which is no `\n`.
  @Test func windowsLineEndsAreLineEnds() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let kept = try lines(Array("{\"step\":1}\r\n{\"step\":2}\r\n".utf8), keepingUpTo: 1)
    #expect(String(decoding: kept, as: UTF8.self) == "{\"step\":1}\r\n{\"step\":9}\n")
  }

  @Test func aLineThatWasNotFinishedGoes() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let kept = try lines(Array("{\"step\":1}\n{\"ste".utf8), keepingUpTo: 1)
    #expect(String(decoding: kept, as: UTF8.self) == "{\"step\":1}\n{\"step\":9}\n")
  }

  @Test(arguments: ["stop:1:2", "nan:1", "nan:x:2", "hang:1:2,oops"])
  func unknownFaultsAreRefused(text: String) {
    #expect(throws: FaultInjection.Unknown.self) { try FaultInjection(environment: ["PEFT_DIST_FAULT": text]) }
  }

  /// One sentence for all lines that cannot be read, however many there are.
  @Test func damagedLinesAreToldOfOnce() {
    #expect(LineFile.sentence(damaged: [4]) == "line 4 is damaged")
    #expect(LineFile.sentence(damaged: [4, 6]) == "lines 4, 6 are damaged")
    #expect(LineFile.sentence(damaged: Array(1...1003)) == "lines 1, 2, 3 and 1000 more are damaged")
  }
}
