import Checkpoints
import Foundation
import TensorCore
import Testing

@Suite("Adapter folders")
struct AdapterFolderTests {
  private let golden = goldens.appendingPathComponent("cases/lora_qv_t5_v10/adapter_init")
  private let weightsName = "adapter_model.safetensors"

  @Test func readsWhatPEFTWrote() throws {
    let adapter = try AdapterFolder.read(golden)
    #expect(try adapter.config.string("peft_type") == "LORA")
    #expect(try adapter.config.int("r") == 3)
    #expect(try adapter.config.strings("target_modules") == ["q", "v"])
    #expect(adapter.tensors.count == 24)
    let name = "base_model.model.encoder.block.1.layer.0.SelfAttention.v.lora_A.weight"
    #expect(adapter.tensors[name]?.shape == [3, 64])
    let weights = adapter.weights()
    #expect(weights.tensor(name, [3, 64]).values == adapter.tensors[name]?.values)
    #expect("\(try checkpointError { try weights.finish() })".contains("not part of the model (23)"))
  }

  @Test func writesTheSameBytesAgainAndThoseOfPEFT() throws {
    let adapter = try AdapterFolder.read(golden)
    try withTemporaryFolder { folder in
      let copy = folder.appendingPathComponent("runs/1/adapter")
      let digest = try AdapterFolder.write(config: adapter.config.json, tensors: adapter.tensors, to: copy)
      let weights = copy.appendingPathComponent(weightsName)
      #expect(try Data(contentsOf: weights) == Data(contentsOf: golden.appendingPathComponent(weightsName)))
      #expect(try sha256(of: weights) == digest.sha256)
      let config = copy.appendingPathComponent("adapter_config.json")
      let first = try Data(contentsOf: config)
      try AdapterFolder.write(config: adapter.config.json, tensors: adapter.tensors, to: copy)
      #expect(try Data(contentsOf: config) == first)
      #expect(first.last == UInt8(ascii: "}"))
      #expect(try AdapterFolder.read(copy).config.members == adapter.config.members)
      let names = try FileManager.default.contentsOfDirectory(atPath: copy.path).sorted()
      #expect(names == ["adapter_config.json", weightsName])
    }
  }

  /// A method goes on training what it has read.
  @Test func tensorsMayBeWritten() throws {
    let adapter = try AdapterFolder.read(golden)
    let tensor = try #require(adapter.tensors.values.first)
    tensor.pointer[0] = 42
    #expect(tensor.values[0] == 42)
  }

  @Test func whatAFolderMayLack() throws {
    try withTemporaryFolder { folder in
      func message() throws -> String { "\(try checkpointError { try AdapterFolder.read(folder) })" }
      #expect(try message().contains("adapter_config.json"))
      try "{\"peft_type\": \"LORA\"}".write("adapter_config.json", in: folder)
      #expect(try message().contains("\(weightsName) is missing"))
      try "PK".write("adapter_model.bin", in: folder)
      let unconverted = try message()
      #expect(unconverted.contains("adapter_model.bin: expected weights in safetensors format"))
      try "broken".write(weightsName, in: folder)
      #expect(try message().contains("\(weightsName) is not a usable safetensors file: 6 bytes"))
    }
  }

  @Test func aFileInTheWay() throws {
    try withTemporaryFolder { folder in
      let file = try "x".write("adapter", in: folder)
      let error = try checkpointError { try AdapterFolder.write(config: [:], tensors: [:], to: file) }
      #expect("\(error)" == "cannot use \(file.path): expected a folder, found a file")
    }
  }
}
