import Autograd
import CKernels
import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing

/// Frozen weights in 16 bits a number, from a mapped file.
@Suite struct HalfWeightsTests {
  private func stored(
    _ model: T5, _ folder: URL, identity: String = "abc", format: HalfFormat = .fp16
  ) throws -> HalfWeights {
    try HalfWeights(
      model.description.linears.filter { $0.path != "lm_head" }, format: format, identity: identity,
      directory: folder)
  }

  @Test(arguments: ["t5_v10", "t5_v11"]) func everyProjectionButTheDownOnes(name: String) throws {
    try withTemporaryFolder { folder in
      let model = try Golden.t5(named: name)
      // The second one reads what the first one has made.
      for _ in 0..<2 {
        let weights = try stored(model, folder)
        for linear in model.description.linears {
          let staysFP32 = linear.path.hasSuffix(".wo") || linear.path == "lm_head"
          #expect(linear.keepsFP32 == staysFP32, "\(linear.path)")
          let found = weights.matrix(linear.weight)?.widened(in: BufferPool())
          let expected = linear.weight.value.values.map { reference_fp16_to_float(reference_float_to_fp16($0)) }
          #expect(found?.values == (staysFP32 ? nil : expected), "\(linear.path)")
        }
      }
      let files = try FileManager.default.contentsOfDirectory(atPath: folder.appendingPathComponent("packed").path)
      #expect(files.count { $0.hasSuffix(".fp16") } == 1 && !files.contains { $0.contains("partial") }, "\(files)")
    }
  }

  /// In bfloat16 all of them, beside a file in fp16 of the same checkpoint.
  @Test func inBFloat16() throws {
    try withTemporaryFolder { folder in
      let model = try Golden.t5()
      _ = try stored(model, folder)
      let weights = try stored(model, folder, format: .bf16)
      for linear in model.description.linears where linear.path != "lm_head" {
        let found = try #require(weights.matrix(linear.weight)?.widened(in: BufferPool()))
        let expected = linear.weight.value.values.map { UInt32(reference_float_to_bf16($0)) << 16 }
        #expect(found.values.map(\.bitPattern) == expected, "\(linear.path)")
      }
      #expect(FrozenWeights.half(weights).precision == .bf16)
      #expect(FrozenWeights.half(try stored(model, folder)).precision == .fp16)
    }
  }

  @Test func anotherCheckpointHasAFileOfItsOwn() throws {
    try withTemporaryFolder { folder in
      let model = try Golden.t5()
      _ = try stored(model, folder)
      let projection = try #require(model.description.linears.first)
      let other = Linear(path: projection.path, weight: Parameter("w", Tensor(zeros: projection.weight.shape)))
      let weights = try HalfWeights(
        [other] + model.description.linears.dropFirst(), format: .fp16, identity: "def", directory: folder)
      #expect(weights.matrix(other.weight)?.widened(in: BufferPool()).values.allSatisfy { $0 == 0 } == true)
    }
  }

  @Test(arguments: [65_505, -1e6, .infinity, .nan] as [Float]) func weightsBeyondTheRangeAreNamed(value: Float) throws {
    try withTemporaryFolder { folder in
      var tensors = try Golden.weights("t5_v10")
      let name = "decoder.block.1.layer.1.EncDecAttention.o.weight"
      let changed = try #require(tensors[name]).copy()
      changed.pointer[7] = value
      tensors[name] = changed
      try writeModel(Golden.config("t5_v10"), tensors, to: folder)
      let model = try T5(ModelFolder(folder))
      let error = #expect(throws: PackingError.self) { try stored(model, folder) }
      #expect("\(error.map { "\($0)" } ?? "")".contains(name))
      let files = try FileManager.default.contentsOfDirectory(atPath: folder.appendingPathComponent("packed").path)
      #expect(!files.contains { $0.hasSuffix(".fp16") || $0.contains("partial") }, "\(files)")
    }
  }

  /// Two that start at once: one makes the file, both read it.
  @Test func startedTogether() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("peft-dist-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let model = try Golden.t5()
    let linear = try #require(model.description.linears.first)
    let found = try await withThrowingTaskGroup(of: [Float]?.self) { group in
      for _ in 0..<4 {
        group.addTask { try stored(model, folder).matrix(linear.weight)?.widened(in: BufferPool()).values }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(found.count == 4 && Set(found).count == 1 && found[0] != nil)
  }
}
