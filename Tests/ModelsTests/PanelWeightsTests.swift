import Autograd
import CKernels
import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing

/// Frozen weights in panels, from a mapped file or packed on demand.
@Suite struct PanelWeightsTests {
  private func stored(
    _ model: T5, _ folder: URL, identity: String = "abc", precision: Precision = .fp16
  ) throws -> PanelWeights {
    try PanelWeights(
      model.description.linears.filter { $0.path != "lm_head" }, precision: precision, identity: identity,
      directory: folder)
  }

  /// The numbers that panels hold, `[outputs, inputs]`: products with the rows of the identity.
  private func numbers(_ panels: PanelMatrix?) throws -> [Float] {
    let panels = try #require(panels)
    let identity = Tensor(zeros: [panels.inputs, panels.inputs])
    for index in 0..<panels.inputs { identity.pointer[index * (panels.inputs + 1)] = 1 }
    let transposed = Tensor(zeros: [panels.inputs, panels.outputs])
    panels.multiply(identity, into: transposed)
    return (0..<panels.outputs * panels.inputs).map {
      transposed.pointer[$0 % panels.inputs * panels.outputs + $0 / panels.inputs]
    }
  }

  @Test(arguments: ["t5_v10", "t5_v11"]) func theDownProjectionsStayInFP32(name: String) throws {
    try withTemporaryFolder { folder in
      let model = try Golden.t5(named: name)
      // The second one reads what the first one has made.
      for _ in 0..<2 {
        let weights = try stored(model, folder)
        for linear in model.description.linears {
          let staysFP32 = linear.path.hasSuffix(".wo") || linear.path == "lm_head"
          #expect(linear.keepsFP32 == staysFP32, "\(linear.path)")
          if linear.path == "lm_head" { continue }
          let found = try numbers(weights.matrix(linear.weight))
          let expected = linear.weight.value.values.map { reference_fp16_to_float(reference_float_to_fp16($0)) }
          #expect(found == (staysFP32 ? linear.weight.value.values : expected), "\(linear.path)")
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
      let weights = try stored(model, folder, precision: .bf16)
      for linear in model.description.linears where linear.path != "lm_head" {
        let found = try numbers(weights.matrix(linear.weight))
        let expected = linear.weight.value.values.map { UInt32(reference_float_to_bf16($0)) << 16 }
        #expect(found.map(\.bitPattern) == expected, "\(linear.path)")
      }
      #expect(FrozenWeights.panels(weights).precision == .bf16)
      #expect(FrozenWeights.panels(try stored(model, folder)).precision == .fp16)
    }
  }

  /// A process that is alone packs what it reads, and writes no file.
  @Test(arguments: ["t5_v10", "gpt2"]) func onDemand(name: String) throws {
    let model = try Golden.model(name)
    let weights = try PanelWeights(model.description.linears, precision: .fp32)
    for linear in model.description.linears {
      let (values, width) = (linear.weight.value.values, linear.weight.value.width)
      let expected =
        linear.layout == .outputByInput
        ? values
        : (0..<values.count).map { values[$0 % linear.inputSize * width + $0 / linear.inputSize] }
      #expect(try numbers(weights.matrix(linear.weight)) == expected, "\(linear.path)")
      #expect(weights.matrix(linear.weight) === weights.matrix(linear.weight))
    }
  }

  @Test func anotherCheckpointHasAFileOfItsOwn() throws {
    try withTemporaryFolder { folder in
      let model = try Golden.t5()
      _ = try stored(model, folder)
      let projection = try #require(model.description.linears.first)
      let other = Linear(path: projection.path, weight: Parameter("w", Tensor(zeros: projection.weight.shape)))
      let weights = try PanelWeights(
        [other] + model.description.linears.dropFirst(), precision: .fp16, identity: "def", directory: folder)
      #expect(try numbers(weights.matrix(other.weight)).allSatisfy { $0 == 0 })
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
    let found = try await withThrowingTaskGroup(of: [Float].self) { group in
      for _ in 0..<4 {
        group.addTask { try numbers(stored(model, folder).matrix(linear.weight)) }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(found.count == 4 && Set(found).count == 1)
  }
}
