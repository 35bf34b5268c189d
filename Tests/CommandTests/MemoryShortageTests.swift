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
    let run = try Shell.run(
      ["sh", "-c", "ulimit -v $0 && exec timeout 120 \"$@\"", "\(kilobytes)", program] + tiny.training(to: "run"),
      environment: ["XDG_CACHE_HOME": tiny.cache.path], in: tiny.folder)
    if run.code == 0 { return }
    let text = run.errors
    #expect(run.code == 1, "\(text)")
    let sentences = text.split(separator: "\n").filter { $0.contains("error:") || $0.hasPrefix("Error") }
    #expect(sentences.count == 1, "\(text)")
    #expect(text.contains("not enough memory") || text.contains("Cannot allocate memory"), "\(text)")
    // From here on the libraries fit, and what does not is what the run itself asks for.
    if kilobytes >= 500_000 { #expect(text.contains("ulimit -v allows"), "\(text)") }
  }
}
