import Checkpoints
import Foundation
import TensorCore
import Testing

/// Folders whose files are something else than they should be: each is one error that names the file.
@Suite struct FolderDamageTests {
  private let golden = goldens.appendingPathComponent("interop/adapters/lora_alpha_pattern_order")
  private let model = goldens.appendingPathComponent("interop/bases/t5")

  private func withCopy(of source: URL, _ body: (URL) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let copy = folder.appendingPathComponent("copy")
      try FileManager.default.copyItem(at: source, to: copy)
      try body(copy)
    }
  }

  // MARK: Values that are not finite

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func aTensorThatIsNotFinite(value: Float) throws {
    let adapter = try AdapterFolder.read(golden)
    let name = try #require(adapter.tensors.keys.sorted().last)
    try withTemporaryFolder { folder in
      let tensor = try #require(adapter.tensors[name])
      tensor.pointer[2] = value
      tensor.pointer[3] = .nan
      try AdapterFolder.write(config: adapter.config.json, tensors: adapter.tensors, to: folder)
      guard case .badTensor(let path, name, let reason) = try checkpointError({ try AdapterFolder.read(folder) }) else {
        Issue.record("another error")
        return
      }
      #expect(path == folder.appendingPathComponent("adapter_model.safetensors").path)
      #expect(reason.contains("its value 2 is \(value), as 1 others"))
      #expect(try AdapterFolder.read(folder, isChecked: false).tensors[name]?.values[3].isNaN == true)
    }
  }

  @Test func aTrainingFormThatIsNotFinite() throws {
    let adapter = try AdapterFolder.read(golden)
    try withTemporaryFolder { folder in
      try AdapterFolder.write(
        config: adapter.config.json, tensors: adapter.tensors, trainingTensors: ["a": Tensor([.nan], shape: [1])],
        to: folder)
      #expect(
        "\(try checkpointError { try AdapterFolder.read(folder) })".contains("training_form.safetensors, tensor 'a'"))
    }
  }

  // MARK: Links and pointers

  @Test(arguments: ["config.json", "generation_config.json", "model.safetensors", "model.safetensors.index.json"])
  func aBrokenLinkInAModel(name: String) throws {
    try withCopy(of: model) { folder in
      if name.hasSuffix("index.json") {
        try FileManager.default.removeItem(at: folder.appendingPathComponent("model.safetensors"))
      }
      try link(name, in: folder)
      #expect(
        "\(try checkpointError { try ModelFolder(folder) })".contains(
          "\(name): expected a file, found a link to gone/1"))
    }
  }

  @Test(arguments: ["adapter_config.json", "adapter_model.safetensors", "training_form.safetensors"])
  func aBrokenLinkInAnAdapter(name: String) throws {
    try withCopy(of: golden) { folder in
      try link(name, in: folder)
      let message = "\(try checkpointError { try AdapterFolder.read(folder) })"
      #expect(message.contains("\(name): expected a file, found a link to gone/1, which does not exist"))
    }
  }

  @Test func aBrokenLinkInPlaceOfLabels() throws {
    try withCopy(of: golden) { folder in
      try link("id2label.json", in: folder)
      #expect("\(try checkpointError { try LabelNamesFile.read(folder) })".contains("id2label.json: expected a file"))
    }
  }

  private func link(_ name: String, in folder: URL) throws {
    let url = folder.appendingPathComponent(name)
    try? FileManager.default.removeItem(at: url)
    try FileManager.default.createSymbolicLink(atPath: url.path, withDestinationPath: "gone/1")
  }

  @Test func pointersOfGitLFS() throws {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 242043056\n"
    try withCopy(of: model) { folder in
      for name in ["model.safetensors", "config.json"] {
        try pointer.write(name, in: folder)
        let message = "\(try checkpointError { try ModelFolder(folder) })"
        #expect(message.contains("\(name): expected ") && message.contains("git lfs pull"), "\(message)")
      }
    }
  }

  // MARK: Other files

  /// What a training leaves beside the weights is no weights.
  @Test func filesOfATraining() throws {
    try withTemporaryFolder { folder in
      try "{\"model_type\": \"t5\"}".write("config.json", in: folder)
      for name in ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "optimizer.bin"] {
        try "PK".write(name, in: folder)
      }
      #expect("\(try checkpointError { try ModelFolder(folder) })".contains("model.safetensors is missing"))
      try "PK".write("pytorch_model.bin", in: folder)
      #expect("\(try checkpointError { try ModelFolder(folder) })".contains("pytorch_model.bin: expected weights in"))
    }
  }

  /// PEFT writes an adapter that is not called "default" into a folder of that name.
  @Test func anAdapterInAFolderOfItsName() throws {
    try withTemporaryFolder { folder in
      let inside = folder.appendingPathComponent("french")
      try FileManager.default.copyItem(at: golden, to: inside)
      let message = "\(try checkpointError { try AdapterFolder.read(folder) })"
      #expect(
        message.contains("adapter_config.json is missing") && message.contains("give \(inside.path), where one is"))
      try FileManager.default.copyItem(at: golden, to: folder.appendingPathComponent("german"))
      #expect("\(try checkpointError { try AdapterFolder.read(folder) })".contains("give one of \(inside.path), "))
    }
  }

  // MARK: Headers as safetensors reads them

  @Test func headersThatAreRead() throws {
    let tensor = #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#
    try withTemporaryFolder { folder in
      for header in ["{\"__metadata__\":null,\(tensor)}", " \n\t{\(tensor)}"] {
        let url = try safetensors(header, data: [UInt8](repeating: 0, count: 8)).write("a.safetensors", in: folder)
        #expect(try SafetensorsFile(url).tensor("a").values == [0, 0])
      }
      // Kinds that nobody asks for do not matter until somebody does.
      for (type, count) in [("U16", 4), ("U32", 2), ("U64", 1), ("F8_E4M3", 8), ("F8_E5M2", 8)] {
        let header = #"{"b":{"dtype":"\#(type)","shape":[\#(count)],"data_offsets":[8,16]},\#(tensor)}"#
        let url = try safetensors(header, data: [UInt8](repeating: 0, count: 16)).write("b.safetensors", in: folder)
        let file = try SafetensorsFile(url)
        #expect(try file.tensor("a").values == [0, 0] && file.info("b")?.shape == [count])
        #expect("\(try checkpointError { try file.tensor("b") })".contains("found \(type)"))
      }
    }
  }

  // MARK: Order

  /// Members keep the order of the file, are equal in any, and are written sorted unless the order means something.
  @Test func membersKeepTheirOrder() throws {
    let text = #"{"b": 1, "a": {"z": 1, "y": 2}, "c": 3}"#
    guard case .object(let members) = try JSON.decode(Array(text.utf8), origin: "test") else { return }
    #expect(members.keys == ["b", "a", "c"])
    #expect(try JSONObject(members, origin: "test").object("a").keys == ["z", "y"])
    let sorted: JSON = ["a": ["y": 2, "z": 1], "b": 1, "c": 3]
    #expect(JSON.object(members) == sorted && JSON.object(members).encoded(.compact) == sorted.encoded(.compact))
    let kept = JSON.object(JSONMembers(keepingOrder: [("b", 1), ("a", 2), ("b", 3)]))
    #expect(kept.encoded(.compact) == #"{"b":3,"a":2}"# && kept == ["a": 2, "b": 3])
  }
}
