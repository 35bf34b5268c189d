import Foundation
import TestSupport
import Testing

@Suite("Too little memory")
struct MemoryShortageTests {
  /// A limit on address space under which training may or may not fit: it works or says one sentence, in bounded time.
  @Test("ends in one sentence", arguments: [400_000, 500_000, 600_000, 700_000])
  func endsInASentence(kilobytes: Int) throws {
    let tiny = try TinyRun()
    let program = try MPIRun.product(named: "peft-dist").path
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments =
      ["-c", "ulimit -v $0 && exec timeout 120 \"$@\"", "\(kilobytes)", program] + tiny.training(to: "run")
    process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PEFT_DIST_") }
      .merging(["XDG_CACHE_HOME": tiny.cache.path]) { $1 }
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try RunningProgram.withoutBlockedSignals { try process.run() }
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    if process.terminationStatus == 0 { return }
    #expect(process.terminationStatus == 1, "\(text)")
    let sentences = text.split(separator: "\n").filter { $0.contains("error:") || $0.hasPrefix("Error") }
    #expect(sentences.count == 1, "\(text)")
    #expect(text.contains("not enough memory") || text.contains("Cannot allocate memory"), "\(text)")
    // From here on the libraries fit, and what does not is what the run itself asks for.
    if kilobytes >= 500_000 { #expect(text.contains("ulimit -v allows"), "\(text)") }
  }
}
