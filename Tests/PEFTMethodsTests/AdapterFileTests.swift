import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// Adapter folders as HF PEFT writes and reads them.
@Suite struct AdapterFileTests {
  /// PEFT tunes the norms of models with biases as well, and stores both tensors of each under one module.
  @Test func normsOfAModelWithBiases() throws {
    let model = try Golden.anyModel("gpt2")
    let config: [String: JSON] = ["peft_type": "LN_TUNING", "target_modules": ["ln_f"]]
    let name = "base_model.model.transformer.ln_f.ln_tuning_layers"
    let tensors = ["\(name).weight": Tensor(zeros: [64]), "\(name).bias": Tensor(zeros: [64])]
    tensors["\(name).bias"]?.fill(0.5)
    let folder = AdapterFolder(
      url: URL(filePath: "/ln"), config: JSONObject(config, origin: "config"), tensors: tensors)
    let method = try MethodCatalogue.read(folder, model: model)
    #expect(Set(method.substitutions.map(\.base.name)) == ["transformer.ln_f.weight", "transformer.ln_f.bias"])
    let files = try method.adapterFiles(baseModelName: "")
    #expect(Set(files.tensors.keys) == Set(tensors.keys))
    for (name, tensor) in tensors { #expect(files.tensors[name]?.hasSameBytes(as: tensor) == true, "\(name)") }
  }

  /// Of an adapted head that shares its tensor with the embedding PEFT saves the tensor besides.
  @Test func theTensorOfAnAdaptedHead() throws {
    let model = try Golden.anyModel("gpt2")
    let options = MethodOptions { $0.targetModules = .names(["lm_head"]) }
    let files = try MethodCatalogue.entry(named: "lora").make(options, model, 1).adapterFiles(baseModelName: "")
    guard case .object(let config)? = files.config else { return #expect(Bool(false), "no configuration") }
    func read(_ head: Tensor) throws -> any PEFTMethod {
      let tensors = files.tensors.merging(["base_model.model.lm_head.base_layer.weight": head]) { $1 }
      return try MethodCatalogue.read(
        AdapterFolder(url: URL(filePath: "/lora"), config: JSONObject(config, origin: "config"), tensors: tensors),
        model: model)
    }
    let head = model.description.wordEmbedding.value.copy()
    #expect(try read(head).parameters.count == 2)
    head.pointer[7] += 1
    #expect(throws: MethodError.self) { _ = try read(head) }
  }

  private static let cases = [
    ("lora_qv_t5_v10", "t5_v10"), ("lora_regex_t5_v10", "t5_v10"), ("rslora_t5_v10", "t5_v10"),
    ("lora_rankpattern_t5_v11", "t5_v11"), ("lora_lmhead_t5_v11", "t5_v11"), ("prompt_t5_v10", "t5_v10"),
    ("prompt_t5_v11", "t5_v11"), ("dora_t5_v10", "t5_v10"), ("ia3_t5_v10", "t5_v10"), ("ia3_t5_v11", "t5_v11"),
    ("bitfit_t5_v10", "t5_v10"), ("lora_layers_t5_v10", "t5_v10"), ("prefix_t5_v10", "t5_v10"),
    ("prefix_t5_v11", "t5_v11"), ("prefix_proj_t5_v10", "t5_v10"), ("ptuning_lstm_t5_v10", "t5_v10"),
    ("ptuning_mlp_t5_v11", "t5_v11"),
  ]

  /// Fields of newer features that PEFT writes as null, and its version: HF PEFT reads files without them.
  private static let leftOut = [
    "peft_version", "kasa_config", "lora_ga_config", "monteclora_config", "use_bdlora", "velora_config",
  ]

  private func written(_ folder: URL, _ model: T5) throws -> (
    config: [String: JSON], tensors: [String: Tensor]
  ) {
    let read = try AdapterFolder.read(folder)
    let method = try MethodCatalogue.read(read, model: model)
    let files = try method.adapterFiles(baseModelName: read.config.string("base_model_name_or_path"))
    guard case .object(let members)? = files.config else { throw NoConfiguration() }
    return (members.dictionary, files.tensors)
  }
  private struct NoConfiguration: Error {}

  /// `target_modules` is a set: its order means nothing. A field that is null is as good as none.
  private func comparable(_ key: String, _ value: JSON?) -> JSON {
    guard ["target_modules", "feedforward_modules"].contains(key), case .array(let elements)? = value else {
      return value ?? .null
    }
    return .array(elements.sorted { "\($0)" < "\($1)" })
  }

  @Test(arguments: cases)
  func everyFieldIsThatOfPEFT(name: String, model: String) throws {
    let golden = try AdapterFolder.read(Golden.adapter(name))
    let (config, tensors) = try written(golden.url, Golden.model(model))
    #expect(Set(golden.config.members.keys).subtracting(config.keys).isSubset(of: Self.leftOut))
    #expect(config.count > 8)
    for (key, value) in config {
      #expect(comparable(key, value) == comparable(key, golden.config.members[key]), "\(key)")
    }
    #expect(Set(tensors.keys) == Set(golden.tensors.keys))
    for (key, tensor) in tensors {
      #expect(golden.tensors[key].map { tensor.hasSameBytes(as: $0) } == true, "\(key)")
    }
  }

  @Test(arguments: cases)
  func readingAndWritingIsStable(name: String, model: String) throws {
    let model = try Golden.model(model)
    try withTemporaryFolder { folder in
      var source = Golden.adapter(name)
      var bytes: [[Data]] = []
      for round in 0..<2 {
        let (config, tensors) = try written(source, model)
        source = folder.appendingPathComponent("\(round)")
        try AdapterFolder.write(config: .object(config), tensors: tensors, to: source)
        bytes.append(
          try ["adapter_config.json", "adapter_model.safetensors"].map {
            try Data(contentsOf: source.appendingPathComponent($0))
          })
      }
      #expect(bytes[0] == bytes[1] && bytes[0].allSatisfy { $0.count > 200 })
      let before = try MethodCatalogue.read(AdapterFolder.read(Golden.adapter(name)), model: model)
      let after = try MethodCatalogue.read(AdapterFolder.read(source), model: model)
      #expect(model.logits(before).values == model.logits(after).values)
    }
  }

  /// What a fresh method writes has the fields of one that was read.
  @Test(arguments: [
    ("lora", "lora_qv_t5_v10"), ("prompt-tuning", "prompt_t5_v10"), ("ia3", "ia3_t5_v10"), ("bitfit", "bitfit_t5_v10"),
    ("prefix-tuning", "prefix_t5_v10"), ("p-tuning", "ptuning_lstm_t5_v10"),
  ])
  func aFreshMethodWritesTheSameFields(name: String, golden: String) throws {
    let model = try Golden.model()
    let method = try MethodCatalogue.entry(named: name).make(MethodOptions(), model, 42)
    guard case .object(let config)? = try method.adapterFiles(baseModelName: "t5-small").config else {
      Issue.record("no configuration")
      return
    }
    #expect(Set(config.keys) == Set(try written(Golden.adapter(golden), model).config.keys))
    #expect(config["base_model_name_or_path"] == "t5-small" && config["inference_mode"] == true)
    #expect(config["task_type"] == "SEQ_2_SEQ_LM")
  }

  // MARK: What is refused

  private func readChanged(_ name: String, _ key: String, _ value: JSON, model: T5) throws {
    let golden = try AdapterFolder.read(Golden.adapter(name))
    var members = golden.config.members
    members[key] = value
    try withTemporaryFolder { folder in
      try AdapterFolder.write(config: .object(members), tensors: golden.tensors, to: folder)
      _ = try MethodCatalogue.read(AdapterFolder.read(folder), model: model)
    }
  }

  @Test(
    arguments: [
      ("init_lora_weights", "olora"), ("init_lora_weights", "pissa_niter_4"),
      ("layer_replication", [[0, 1], [0, 2]]), ("lora_bias", true),
      ("target_parameters", ["w"]), ("trainable_token_indices", [3]), ("use_qalora", true),
      ("use_bdlora", true),
      ("alora_invocation_tokens", [5, 6]), ("megatron_config", ["tensor_parallel": 2]), ("peft_type", "POLY"),
    ] as [(String, JSON)])
  func anOptionThatWouldChangeTheResultIsRefused(key: String, value: JSON) throws {
    let model = try Golden.model()
    let error = try #require(throws: MethodError.self) {
      try readChanged("lora_qv_t5_v10", key, value, model: model)
    }
    guard case .unsupported(let path, let named, _) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(named == key && path.hasSuffix("adapter_config.json"))
  }

  @Test(
    arguments: [
      ("use_dora", false), ("layers_to_transform", .null), ("exclude_modules", []), ("megatron_config", [:]),
      ("an_option_of_tomorrow", .null), ("layers_pattern", .null),
    ] as [(String, JSON)])
  func anOptionThatAsksForNothingIsNot(key: String, value: JSON) throws {
    try readChanged("lora_qv_t5_v10", key, value, model: Golden.model())
  }

  @Test(
    arguments: [
      ("r", "8"), ("lora_alpha", []), ("bias", "some"), ("rank_pattern", ["q": 1.5]), ("target_modules", 3),
      ("modules_to_save", "lm_head"), ("use_rslora", "no"),
    ] as [(String, JSON)])
  func aBadValueNamesItsKey(key: String, value: JSON) throws {
    let model = try Golden.model()
    let error = try #require(throws: CheckpointError.self) {
      try readChanged("lora_qv_t5_v10", key, value, model: model)
    }
    #expect("\(error)".contains("key '\(key)"), "\(error)")
  }

  @Test func promptOptionsThatAreRefused() throws {
    let model = try Golden.model()
    #expect(throws: MethodError.self) {
      try readChanged("prompt_t5_v10", "modules_to_save", ["classifier"], model: model)
    }
    for (key, value): (String, JSON) in [("num_transformer_submodules", 3), ("num_virtual_tokens", 0)] {
      let error = try #require(throws: CheckpointError.self) {
        try readChanged("prompt_t5_v10", key, value, model: model)
      }
      #expect("\(error)".contains("'\(key)'"))
    }
  }

  @Test func tensorsOfAnotherModelAreListed() throws {
    let model = try Golden.model("t5_v11")
    let error = try #require(throws: CheckpointError.self) {
      _ = try MethodCatalogue.read(AdapterFolder.read(Golden.adapter("lora_qv_t5_v10")), model: model)
    }
    guard case .unfitWeights(_, let problems) = error else {
      Issue.record("\(error)")
      return
    }
    // Queries and values are 48 wide there, 64 here: every B differs, no A does.
    #expect(problems.mismatched.count == 12 && problems.mismatched.allSatisfy { $0.name.contains("lora_B") })
  }
}
