import CKernels
import Checkpoints
import Foundation
import TestSupport
import Testing

/// The program under every kernel set this CPU runs: each precision works, gives one result for any layout, and is near
/// to the others.
@Suite struct KernelSetTests {
  private static let sets = [KERNEL_SET_SCALAR, KERNEL_SET_AVX2, KERNEL_SET_AVX512, KERNEL_SET_AVX512_BF16]
    .filter { kernels_table($0) != nil }.map { String(cString: kernels_name($0)) }

  private func train(
    _ tiny: TinyRun, _ output: String, kernels: String, precision: String, ranks: Int? = nil, threads: Int = 1
  ) throws -> (results: RunResults, log: String) {
    let run = try tiny.run(
      tiny.training(to: output, threads: threads, ["--precision", precision, "--method", "lora"]), ranks: ranks,
      kernels: kernels)
    #expect(run.exitCode == 0, "\(run.errors)")
    return (try RunResults(tiny.file(output)), run.errors)
  }

  @Test(arguments: sets, ["fp32", "bf16", "fp16"]) func trains(kernels: String, precision: String) throws {
    let tiny = try TinyRun()
    let alone = try train(tiny, "alone", kernels: kernels, precision: precision)
    let two = try train(tiny, "two", kernels: kernels, precision: precision, ranks: 2, threads: 2)
    #expect(two.results == alone.results)
    let isEmulated = precision == "bf16" && kernels != "avx512-bf16"
    #expect(alone.log.contains("bf16 is emulated") == isEmulated, "\(alone.log)")
    #expect(alone.log.contains("fp16 has no products of its own") == (precision == "fp16"), "\(alone.log)")
    let reference = try train(tiny, "reference", kernels: Self.sets.last ?? "scalar", precision: "fp32")
    let (found, expected) = (try losses(tiny, "alone"), try losses(tiny, "reference"))
    // Losses of about 7 nats; bf16 keeps 8 bits of each operand.
    #expect(found.count == expected.count && found.count > 10)
    for (found, expected) in zip(found, expected) { #expect(abs(found - expected) < 0.05) }
    #expect((alone.results == reference.results) == (precision == "fp32" && kernels == Self.sets.last))
  }

  private func losses(_ tiny: TinyRun, _ output: String) throws -> [Double] {
    try RunResults.lines(of: tiny.file("\(output)/metrics.jsonl")).compactMap {
      try JSONObject(line: $0).optionalDouble("loss")
    }
  }

  /// Ranks of one job that are held to different sets take the least of them.
  @Test func ranksAgreeOnTheLeast() throws {
    let tiny = try TinyRun()
    let least = try train(tiny, "least", kernels: "scalar", precision: "bf16")
    let arguments = tiny.training(to: "mixed", ["--precision", "bf16", "--method", "lora"])
    let run = try MPIRun(
      "peft-dist", ranks: 2, flags: ["--bind-to", "none"], arguments: arguments,
      environment: ["XDG_CACHE_HOME": tiny.cache.path], ofRank1: (arguments, ["PEFT_DIST_KERNELS": "scalar"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(try RunResults(tiny.file("mixed")) == least.results)
  }

  @Test func namesThatAreNoneAreRefused() throws {
    let tiny = try TinyRun()
    let unknown = try tiny.run(tiny.training(to: "run"), kernels: "avx1024")
    #expect(unknown.exitCode == 1)
    unknown.expectOneError(containing: ["PEFT_DIST_KERNELS is 'avx1024'", "scalar, avx2, avx512 or avx512-bf16"])
    let library = try MPIRun(
      "peft-dist", ranks: nil, arguments: tiny.training(to: "run"), environment: ["PEFT_DIST_GEMM": "mkl"])
    #expect(library.exitCode == 1)
    library.expectOneError(containing: ["PEFT_DIST_GEMM is 'mkl'", "openblas (the default) or onednn"])
  }
}
