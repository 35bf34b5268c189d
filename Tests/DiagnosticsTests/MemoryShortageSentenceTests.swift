import Testing

@testable import Diagnostics

@Suite("Sentences about memory that could not be had")
struct MemoryShortageSentenceTests {
  @Test("name the limit of the shell, then that of the control group, then what needs less")
  func sentences() {
    #expect(
      MemoryShortage(bytes: 134_217_728, for: "X", addressSpace: 500_000_000, group: 1).description
        == "not enough memory: 134 MB for X could not be had; ulimit -v allows 500 MB of address space in all. "
        + "Raise it (ulimit -v unlimited)")
    #expect(
      MemoryShortage(bytes: 1000, for: "X", addressSpace: nil, group: 1_100_000_000).description
        == "not enough memory: 1.0 kB for X could not be had; the control group allows 1.1 GB. "
        + "Use fewer ranks or threads, --precision fp16 or bf16, or a smaller --leaf-tokens")
    #expect(
      MemoryShortage(bytes: 1000, for: "X", addressSpace: nil, group: nil).description
        == "not enough memory: 1.0 kB for X could not be had. "
        + "Use fewer ranks or threads, --precision fp16 or bf16, or a smaller --leaf-tokens")
  }
}
