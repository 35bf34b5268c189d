import Autograd
import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// Logits of PEFT for adapters as it writes and reads them, element by element (`Goldens/interop`).
@Suite struct InteropTests {
  static let root = Golden.root.appending(path: "interop")
  static let names = [
    "ia3_bert", "ia3_embeddings_t5", "ia3_exclude", "ia3_modules_to_save", "ln_default_targets", "ln_exclude",
    "ln_expression", "ln_modules_to_save", "lora_adapter_name", "lora_alpha_pattern_order", "lora_bias_all_bert",
    "lora_bias_all_gpt2", "lora_bias_all_roberta", "lora_embeddings_bert", "lora_embeddings_gpt2", "lora_embeddings_t5",
    "lora_exclude_expression", "lora_exclude_names", "lora_layers_pattern_empty", "lora_magnitude_weight",
    "lora_modules_to_save_gpt2", "lora_norms_and_biases_bert", "lora_norms_and_biases_roberta",
    "lora_old_classifier_bert", "lora_old_classifier_roberta", "lora_other_embeddings_gpt2", "lora_other_embeddings_t5",
    "lora_rank_pattern_order", "p_tuning_dropout", "prompt_bert", "prompt_embeddings_t5",
  ]

  @Test(arguments: names) func everyAdapter(name: String) throws {
    let (folder, model) = try Self.folder(name)
    let method = try MethodCatalogue.read(folder: folder, model: model)
    let expected = try SafetensorsFile(folder.appending(path: "case.safetensors")).tensor("logits").values
    let base = try Self.logits(folder, model, FrozenBase())
    #expect(largestDifference(base, expected) > 1e-2, "the adapter changes nothing")
    #expect(try largestDifference(Self.logits(folder, model, method), expected) < 1e-4)
  }

  /// What was read is written with all it holds: the next reading computes the same bits.
  @Test(arguments: names) func everyAdapterAgain(name: String) throws {
    let (folder, model) = try Self.folder(name)
    let method = try MethodCatalogue.read(folder: folder, model: model)
    try withTemporaryFolder { copy in
      let files = try method.adapterFiles(baseModelName: "base")
      try AdapterFolder.write(
        config: #require(files.config), tensors: files.tensors, trainingTensors: files.trainingTensors, to: copy)
      let again = try MethodCatalogue.read(folder: copy, model: model)
      #expect(try Self.logits(folder, model, again) == Self.logits(folder, model, method))
    }
  }

  /// Embeddings that came with an adapter are no part of what is trained.
  @Test func savedEmbeddingsStayAsTheyAre() throws {
    let (folder, model) = try Self.folder("lora_other_embeddings_gpt2")
    let method = try MethodCatalogue.read(folder: folder, model: model)
    let factors = Dictionary(uniqueKeysWithValues: zip(method.parameters.map(\.name), method.learningRateFactors))
    #expect(factors["base_model.model.transformer.wte.weight"] == 0)
    #expect(factors.values.filter { $0 == 1 }.count == factors.count - 1)
  }

  // MARK: Helpers

  private static func folder(_ name: String) throws -> (URL, any LanguageModel) {
    let folder = root.appending(path: "adapters/\(name)")
    let base = try JSONObject(file: folder.appending(path: "case.json")).string("base")
    return (folder, try ModelCatalogue.load(ModelFolder(root.appending(path: "bases/\(base)"))))
  }

  private static func logits(_ folder: URL, _ model: any LanguageModel, _ method: any PEFTMethod) throws -> [Float] {
    let file = try SafetensorsFile(folder.appending(path: "case.safetensors"))
    let ids = try file.integers("input_ids").map { Int32($0) }
    let tape = Tape(pool: BufferPool(), recordsGradients: false)
    let sites = method.materialise(method.parameters.map { Variable(constant: $0.value) }, tape)
    let pass = method.pass(tape: tape, sites: sites)
    if let decoder = model as? GPT2 {
      return decoder.logitsOfAllPositions(LeafBatch(sources: [ids], labels: [[]], examples: [0]), pass).value.values
    }
    let labels = file.contains("labels") ? try file.integers("labels").map { Int32($0) } : [0]
    return model.logits(LeafBatch(sources: [ids], labels: [labels], examples: [0]), pass).value.values
  }
}
