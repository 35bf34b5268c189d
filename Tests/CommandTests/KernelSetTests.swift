import CKernels
import Checkpoints
import Foundation
import TestSupport
import Testing

/// The program under every kernel set this CPU runs: each precision works and gives one result, whatever the set and layout.
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
    let reference = try train(tiny, "reference", kernels: Self.sets.last ?? "scalar", precision: precision)
    #expect(alone.results == reference.results)
    _ = try train(tiny, "exact", kernels: kernels, precision: "fp32")
    let (found, expected) = (try losses(tiny, "alone"), try losses(tiny, "exact"))
    // Losses of about 7 nats; bf16 keeps 8 bits of each operand.
    #expect(found.count == expected.count && found.count > 10)
    for (found, expected) in zip(found, expected) { #expect(abs(found - expected) < 0.05) }
    #expect((found == expected) == (precision == "fp32"))
  }

  private func losses(_ tiny: TinyRun, _ output: String) throws -> [Double] {
    try RunResults.lines(of: tiny.file("\(output)/metrics.jsonl")).compactMap {
      try JSONObject(line: $0).optionalDouble("loss")
    }
  }

  /// The adapter of a small run as a constant: this machine computes what all others do.
  @Test(arguments: [
    ("fp32", "76bacf4000b3abe2"), ("bf16", "1bd36608f5f23172"), ("fp16", "3463055e7a29e1b6"),
  ])
  func aTrainingIsTheSameEverywhere(precision: String, digest: String) throws {
    let tiny = try TinyRun()
    let best = String(cString: kernels_name(kernels_best()))
    let run = try train(tiny, "run", kernels: best, precision: precision, threads: 2)
    #expect(run.results.weights.hasPrefix(digest), "\(run.results.weights)")
  }

  /// A run that began on one kind of CPU, was stopped, and goes on on another.
  @Test(arguments: ["fp32", "bf16"]) func resumedUnderAnotherSet(precision: String) throws {
    let tiny = try TinyRun()
    let (first, last) = (try #require(Self.sets.first), try #require(Self.sets.last))
    let undisturbed = try train(tiny, "undisturbed", kernels: last, precision: precision)
    let arguments = tiny.training(to: "run", ["--precision", precision, "--method", "lora", "--save-every", "3"])
    let killed = try tiny.run(arguments, faults: "throw:0:5", kernels: first)
    #expect(killed.exitCode != 0)
    let resumed = try tiny.run(arguments + ["--resume"], kernels: last)
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    #expect(try RunResults(tiny.file("run")).weights == undisturbed.results.weights)
  }

  /// A job whose ranks have different CPUs.
  @Test(arguments: ["fp32", "bf16"]) func ranksWithDifferentSets(precision: String) throws {
    let tiny = try TinyRun()
    let least = try train(tiny, "least", kernels: "scalar", precision: precision)
    let arguments = tiny.training(to: "mixed", ["--precision", precision, "--method", "lora"])
    let run = try MPIRun(
      "peft-dist", ranks: 2, flags: ["--bind-to", "none"], arguments: arguments,
      environment: ["XDG_CACHE_HOME": tiny.cache.path], ofRank1: (arguments, ["PEFT_DIST_KERNELS": "scalar"]))
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(try RunResults(tiny.file("mixed")) == least.results)
  }

  /// A measurement of training is the work of all ranks.
  @Test func benchTrainRunsOnAllRanks() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(
      [
        "bench", "train", "--model", tiny.model.path, "--steps", "1", "--warmup", "0", "--global-batch-size", "4",
        "--max-source-length", "16", "--threads-per-rank", "1",
      ], ranks: 2)
    #expect(run.exitCode == 0, "\(run.errors)")
    #expect(run.output.contains("\"ranks\": 2") && run.output.contains("arithmetic_peak_gflops"), "\(run.output)")
  }

  @Test func namesThatAreNoneAreRefused() throws {
    let tiny = try TinyRun()
    let unknown = try tiny.run(tiny.training(to: "run"), kernels: "avx1024")
    #expect(unknown.exitCode == 1)
    unknown.expectOneError(containing: ["PEFT_DIST_KERNELS is 'avx1024'", "scalar, avx2, avx512 or avx512-bf16"])
    let library = try MPIRun(
      "peft-dist", ranks: nil, arguments: tiny.training(to: "run"), environment: ["PEFT_DIST_GEMM": "mkl"])
    #expect(library.exitCode == 1)
    library.expectOneError(containing: ["PEFT_DIST_GEMM is 'mkl'", "canonical (the default), openblas or onednn"])
  }

  /// Libraries give results of their own, near to those of the project's products, and an identity that says so.
  @Test(arguments: ["openblas", "onednn"]) func librariesAreAChoice(products: String) throws {
    let tiny = try TinyRun()
    let run = try tiny.run(tiny.training(to: "library", ["--method", "lora", "--products", products]))
    #expect(run.exitCode == 0, "\(run.errors)")
    _ = try train(tiny, "own", kernels: String(cString: kernels_name(kernels_best())), precision: "fp32")
    let (found, expected) = (try losses(tiny, "library"), try losses(tiny, "own"))
    #expect(found.count == expected.count && found != expected)
    for (found, expected) in zip(found, expected) { #expect(abs(found - expected) < 1e-3) }
    let identity = try JSONObject(file: tiny.file("library/summary.json")).string("numeric_identity")
    #expect(identity.contains(", products \(products)/"), "\(identity)")
    let unknown = try tiny.run(tiny.training(to: "run", ["--products", "mkl"]))
    #expect(unknown.exitCode == 2)
    unknown.expectOneError(containing: ["--products", "mkl", "openblas"])
  }
}
