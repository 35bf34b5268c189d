import Autograd
import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// Files that other programs write in other forms, and what an error about one of their options says.
@Suite struct AdapterForeignFileTests {
  /// Runs `body` with the folder of an adapter after a change of its configuration and tensors.
  private func withChanged(
    _ source: URL, _ change: (inout [String: JSON], inout [String: Tensor]) throws -> Void, _ body: (URL) throws -> Void
  ) throws {
    let read = try AdapterFolder.read(source)
    var (members, tensors) = (read.config.members, read.tensors)
    try change(&members, &tensors)
    try withTemporaryFolder { folder in
      try AdapterFolder.write(config: .object(members), tensors: tensors, to: folder)
      try body(folder)
    }
  }

  private static func bottleneck(_ name: String) -> URL {
    Golden.root.appending(path: "cases/\(name)/adapters_lib_init")
  }

  // MARK: The library `adapters`

  @Test(arguments: [("adapter_seq_bn_t5_v10", "t5_v10"), ("adapter_double_seq_bn_roberta", "roberta")])
  func aBottleneckAdapterOfAnyName(golden: String, model: String) throws {
    let model = try Golden.anyModel(model)
    let plain = try MethodCatalogue.read(folder: Self.bottleneck(golden), model: model)
    try withChanged(Self.bottleneck(golden)) { members, tensors in
      members["name"] = "movie_reviews"
      tensors = Dictionary(
        uniqueKeysWithValues: tensors.map { ($0.key.replacing(".default.", with: ".movie_reviews."), $0.value) })
    } _: { folder in
      let named = try MethodCatalogue.read(folder: folder, model: model)
      #expect(named.parameters.allSatisfy { $0.name.contains(".movie_reviews.") || $0.name.contains("classifier") })
      #expect(model.logits(named).values == model.logits(plain).values)
      guard case .object(let config)? = try named.adapterFiles(baseModelName: "base").config else { return }
      #expect(config["name"] == "movie_reviews")
    }
  }

  /// The head of a classifier lies beside the adapter in a file of its own.
  @Test func theHeadOfTheLibrary() throws {
    let model = try Golden.anyModel("roberta")
    let head = try #require(model.description.head)
    let plain = try MethodCatalogue.read(folder: Self.bottleneck("adapter_seq_bn_roberta"), model: model)
    func write(_ tensors: [(String, Tensor)], _ folder: URL) throws {
      try SafetensorsWriter.write(tensors: tensors, to: folder.appending(path: "model_head.safetensors"))
    }
    try withChanged(Self.bottleneck("adapter_seq_bn_roberta")) { _, _ in
    } _: { folder in
      let doubled = head.parameters.map { parameter in
        let value = parameter.value.copy()
        if parameter.name.contains("out_proj") { for index in 0..<value.count { value.pointer[index] *= 2 } }
        return (parameter.name, value)
      }
      try write(doubled, folder)
      let method = try MethodCatalogue.read(folder: folder, model: model)
      let expected = model.logits(plain).values.map { 2 * $0 }
      #expect(largestDifference(model.logits(method).values, expected) < 1e-6)
      try write([("heads.movie.1.weight", Tensor(zeros: [64, 64]))], folder)
      let error = #expect(throws: MethodError.self) { try MethodCatalogue.read(folder: folder, model: model) }
      #expect(error?.description.contains("heads.movie.1.weight") == true)
    }
  }

  // MARK: Options that do not fit

  @Test(
    arguments: [
      ("target_modules", ["k_proj"], "'k_proj' matches no module of the model"),
      ("target_modules", "(?<=x)q", "matches no module"),
      ("target_modules", "shared", "it matches 'shared', which is no linear projection"),
      ("rank_pattern", ["(q": 3], "expected a valid regular expression"),
      ("r", 0, "expected a positive rank"), ("lora_dropout", 1.5, "expected a rate"),
      ("layers_to_transform", [99], "matches no module"), ("modules_to_save", ["nix"], "matches no module"),
      ("exclude_modules", "(?<!x", "expected a valid regular expression"),
      ("layers_pattern", "block", "expected --layers-to-transform with it"),
    ] as [(String, JSON, String)])
  func anOptionIsReportedWithItsFile(key: String, value: JSON, part: String) throws {
    let model = try Golden.model()
    try withChanged(Golden.adapter("lora_qv_t5_v10")) { members, _ in
      members[key] = value
      members["base_model_name_or_path"] = "my/base"
    } _: { folder in
      let error = #expect(throws: MethodError.self, "\(key)") { try MethodCatalogue.read(folder: folder, model: model) }
      guard case .badKey(let path, let named, let problem, "my/base")? = error else {
        Issue.record("\(key): \(String(describing: error))")
        return
      }
      #expect(path == folder.appending(path: "adapter_config.json").path && problem.contains(part), "\(problem)")
      #expect(named == key || (named == "layers_to_transform" && key == "layers_pattern"))
    }
  }

  /// Two names of one tensor with different values, and embeddings of another size.
  @Test func embeddingsThatCannotBeMeant() throws {
    let folder = InteropTests.root.appending(path: "adapters/lora_embeddings_t5")
    let model = try ModelCatalogue.load(ModelFolder(InteropTests.root.appending(path: "bases/t5")))
    try withChanged(folder) { _, tensors in
      tensors["base_model.model.lm_head.weight"] = Tensor(zeros: [24, 8])
      tensors["base_model.model.shared.weight"]?.pointer[0] += 1
    } _: { folder in
      let error = #expect(throws: MethodError.self) { try MethodCatalogue.read(folder: folder, model: model) }
      #expect(error?.description.contains("lm_head.weight") == true)
    }
    try withChanged(folder) { _, tensors in
      tensors["base_model.model.shared.weight"] = Tensor(zeros: [30, 8])
    } _: { folder in
      let error = #expect(throws: MethodError.self) { try MethodCatalogue.read(folder: folder, model: model) }
      #expect(error?.description.contains("shared.weight: expected [24, 8], found [30, 8]") == true)
    }
  }

  /// Patterns are written in their order: PEFT, and this program, find the same one first when they read the file.
  @Test func patternsAreWrittenInTheirOrder() throws {
    let model = try Golden.model()
    var options = MethodOptions()
    options.alphaPattern = ModulePatterns([("decoder.*q", 3), ("block.0.*", 5), ("q", 7)])
    let method = try MethodCatalogue.entry(named: "lora").make(options, model, 1)
    let text = try #require(try method.adapterFiles(baseModelName: "b").config).encoded(.compact)
    #expect(text.contains(#""alpha_pattern":{"decoder.*q":3,"block.0.*":5,"q":7}"#), "\(text)")
  }
}
