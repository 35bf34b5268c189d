import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing

/// Logits of transformers for the forms that model folders take, element by element (`Goldens/interop`).
@Suite struct InteropTests {
  static let root = Golden.models.deletingLastPathComponent().appending(path: "interop")

  @Test(arguments: ["t5", "mt5", "gpt2", "bert", "roberta"]) func bases(name: String) throws {
    let folder = Self.root.appending(path: "bases/\(name)")
    try Self.compare(ModelCatalogue.load(ModelFolder(folder)), folder, secondStart: name == "bert" ? 4 : nil)
  }

  @Test(arguments: [
    "gpt2_only_head_name", "gpt2_own_head", "mt5_own_head", "t5_default_width", "t5_dense_act", "t5_dense_act_silu",
    "t5_head_and_encoder_names", "t5_is_gated", "t5_only_decoder_name", "t5_only_encoder_name", "t5_only_head_name",
    "t5_own_decoder_embedding", "t5_own_encoder_embedding", "t5_own_everything", "t5_pad", "t5_start_tokens",
  ]) func models(name: String) throws {
    let folder = Self.root.appending(path: "models/\(name)")
    try withTemporaryFolder { work in
      try Self.make(folder, in: work)
      try Self.compare(ModelCatalogue.load(ModelFolder(work)), folder)
    }
  }

  /// RoBERTa's tokenizer gives type 0 everywhere, whatever types the table has: where a second text begins is no matter.
  @Test func typesOfPairsInRoBERTa() throws {
    let folder = Self.root.appending(path: "bases/roberta")
    try Self.compare(ModelCatalogue.load(ModelFolder(folder)), folder, secondStart: 3)
  }

  /// A loss begins with the token of config.json, an answer with that of generation_config.json.
  @Test func twoStartTokens() throws {
    try withTemporaryFolder { work in
      try Self.make(Self.root.appending(path: "models/t5_start_tokens"), in: work)
      let model = try T5(ModelFolder(work))
      #expect(model.configuration.startID == 3 && model.configuration.generationStartID == 6)
      let state = model.startDecoding(
        sources: [[5, 1]], examples: [0], maxNewTokens: 1, FrozenBase().inferencePass())
      #expect(state.prompt(ofSource: 0) == [6])
    }
  }

  @Test func noStartTokenIsAnError() throws {
    var config = try JSONObject(file: Self.root.appending(path: "bases/t5/config.json")).members
    config["decoder_start_token_id"] = nil
    for generation in [nil, JSONObject(["decoder_start_token_id": 0], origin: "generation_config.json")] {
      let error = try #require(throws: CheckpointError.self) {
        _ = try T5Configuration(JSONObject(config, origin: "config.json"), generation: generation)
      }
      #expect("\(error)".contains("config.json, key 'decoder_start_token_id'"))
    }
    config["model_type"] = "mt5"
    #expect(try T5Configuration(JSONObject(config, origin: "config.json"), generation: nil).startID == 0)
  }

  // MARK: Helpers

  /// The folder of a model that is told as changes of a base.
  private static func make(_ folder: URL, in work: URL) throws {
    let changes = try JSONObject(file: folder.appending(path: "changes.json"))
    let base = root.appending(path: "bases/\(try changes.string("base"))")
    func members(_ name: String) throws -> [String: JSON] { try JSONObject(file: base.appending(path: name)).members }
    let config = try members("config.json").merging(changes.object("config").members) { $1 }
    let weights = try ModelFolder(base).weights()
    var tensors = try weights.all()
    for name in try changes.strings("dropped") { tensors[name] = nil }
    let renamed = try changes.object("renamed")
    for name in renamed.keys {
      tensors[try renamed.string(name)] = tensors[name]
      tensors[name] = nil
    }
    let added = folder.appending(path: "tensors.safetensors")
    if FileManager.default.fileExists(atPath: added.path) {
      let file = try SafetensorsFile(added)
      for name in file.names { tensors[name] = try file.tensor(name) }
    }
    try writeModel(config.filter { $0.value != .null }, tensors, to: work)
    if let generation = changes["generation_config"] {
      try Data(generation.encoded().utf8).write(to: work.appending(path: "generation_config.json"))
    }
  }

  private static func compare(_ model: any LanguageModel, _ folder: URL, secondStart: Int? = nil) throws {
    let file = try SafetensorsFile(folder.appending(path: "case.safetensors"))
    let expected = try file.tensor("logits")
    let ids = try file.integers("input_ids").map { Int32($0) }
    let pass = FrozenBase().inferencePass()
    let found: [Float]
    if let decoder = model as? GPT2 {
      found = decoder.logitsOfAllPositions(LeafBatch(sources: [ids], labels: [[]], examples: [0]), pass).value.values
    } else {
      let labels = file.contains("labels") ? try file.integers("labels").map { Int32($0) } : [0]
      found =
        model.logits(
          LeafBatch(sources: [ids], labels: [labels], examples: [0], secondStarts: secondStart.map { [$0] }), pass
        ).value.values
    }
    #expect(largestDifference(found, expected.values) < 1e-4)
  }
}
