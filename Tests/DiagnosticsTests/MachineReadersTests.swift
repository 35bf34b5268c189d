import Foundation
import Testing

@testable import Diagnostics

/// Readers of what the kernel says of the machine and the process.
@Suite struct MachineReadersTests {
  @Test func processorOfTheFirstCPU() {
    let text = """
      processor\t: 0
      model name\t: AMD EPYC 9654 96-Core Processor
      flags\t\t: fpu sse2 avx2 fma avx512f avx512_bf16 f16c

      processor\t: 1
      model name\t: another
      flags\t\t: amx_tile
      """
    let processor = ProcessorFeatures(text)
    #expect(processor.model == "AMD EPYC 9654 96-Core Processor")
    #expect(processor.features == ["avx2", "fma", "f16c", "avx512f", "avx512_bf16"])
    #expect(ProcessorFeatures("") == ProcessorFeatures("flags : avx2x\nmodel name :\n"))
    #expect(ProcessorFeatures("").model == "unknown" && ProcessorFeatures("").features.isEmpty)
  }

  @Test func libraryThatIsLoaded() {
    let maps = """
      7f00-7f01 r--p 00000000 fe:00 123   /usr/lib/libz.so.1.2.13
      7f01-7f02 rw-p 00000000 00:00 0
      7f02-7f03 r-xp 00000000 fe:00 9   /opt/my libs/libsentencepiece.so.0.0.0
      """
    #expect(LoadedLibraries.file(named: "libsentencepiece.so", maps: maps) == "/opt/my libs/libsentencepiece.so.0.0.0")
    #expect(LoadedLibraries.file(named: "libsentence-", maps: maps) == nil)
    #expect(LoadedLibraries.file(named: "libc.so")?.hasPrefix("/") == true)
  }

  /// What `ulimit` says is what is read.
  @Test func limitsOfTheShell() throws {
    let limits = ResourceLimits.read()
    for (option, value, unit) in [
      ("-v", limits.addressSpace, 1024), ("-n", limits.openFiles, 1), ("-u", limits.processes, 1),
      ("-l", limits.lockedMemory, 1024),
    ] {
      let (process, pipe) = (Process(), Pipe())
      process.executableURL = URL(filePath: "/usr/bin/env")
      process.arguments = ["bash", "-c", "ulimit -S \(option)"]
      process.standardOutput = pipe
      try process.run()
      let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      let read = value.map { "\($0 / unit)" } ?? "unlimited"
      #expect(read == text.trimmingCharacters(in: .whitespacesAndNewlines), "\(option)")
    }
  }

  @Test func spaceOfAFileSystem() throws {
    let space = try #require(FileSystemSpace(of: NSTemporaryDirectory()))
    #expect(space.total > 0 && (0...space.total).contains(space.free))
    #expect(FileSystemSpace(of: "/nowhere/at/all") == nil)
  }
}
