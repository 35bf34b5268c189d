import Foundation
import Testing

@testable import Diagnostics

@Suite struct RunLogTests {
  @Test func eachKindOfLineHasItsWord() {
    #expect(RunLogHandler.line(level: .notice, text: "step 0") == "peft-dist: step 0")
    #expect(RunLogHandler.line(level: .warning, text: "slow") == "peft-dist: warning: slow")
    #expect(RunLogHandler.line(level: .error, text: "gone") == "peft-dist: error: gone")
  }

  @Test func linesAreWholeFromAnyThreadAndQuietDropsAllButErrors() throws {
    let text = try written { writer in
      let logger = RunLogHandler.logger(writer: writer)
      DispatchQueue.concurrentPerform(iterations: 50) {
        RunLog.send(.warning, "line \($0) of fifty", through: logger)
      }
      RunLog.isQuiet = true
      defer { RunLog.isQuiet = false }
      RunLog.send(.warning, "dropped", through: logger)
      RunLog.send(.notice, "dropped", through: logger)
      RunLog.send(.error, "kept", through: logger)
    }
    let lines = text.split(separator: "\n").map(String.init)
    let expected = (0..<50).map { "peft-dist: warning: line \($0) of fifty" }
    #expect(lines.dropLast().sorted() == expected.sorted())
    #expect(lines.last == "peft-dist: error: kept")
  }

  @Test func aLineDoesNotTearTheStatusLine() throws {
    let text = try written { writer in
      writer.show(status: "step 1/2")
      writer.write(line: "peft-dist: warning: slow")
      writer.show(status: "step 2/2")
      writer.show(status: nil)
      writer.show(status: nil)
      writer.write(line: "done")
    }
    let erase = "\r\u{1B}[K"
    #expect(
      text == "\(erase)step 1/2\(erase)peft-dist: warning: slow\nstep 1/2\(erase)step 2/2\ndone\n")
  }

  @Test func aFileIsNoTerminal() throws {
    var columns: Int? = 0
    _ = try written { columns = $0.terminalColumns }
    #expect(columns == nil)
  }

  @Test func aStopwatchCountsForwardInSeconds() {
    var watch = Stopwatch()
    usleep(20_000)
    let lap = watch.lap()
    #expect(lap >= 0.02 && lap < 10)
    #expect(watch.seconds >= 0 && watch.seconds < 10)
  }
}

/// What a piece of work writes.
private func written(by work: (LineWriter) -> Void) throws -> String {
  let file = FileManager.default.temporaryDirectory.appending(path: "lines-\(UUID().uuidString)")
  defer { try? FileManager.default.removeItem(at: file) }
  let descriptor = open(file.path, O_CREAT | O_WRONLY | O_APPEND, 0o600)
  try #require(descriptor >= 0, "open \(file.path)")
  work(LineWriter(descriptor: descriptor))
  close(descriptor)
  return try String(contentsOf: file, encoding: .utf8)
}
