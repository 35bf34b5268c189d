import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// Merged weights compute what base and adapter do; taken out again, the base is back.
@Suite struct MergeTests {
  private static let variants = CatalogueTests.variants.filter { ["lora", "ia3", "bitfit"].contains($0.method) }

  private func tuned(_ variant: CatalogueTests.Variant, _ model: any LanguageModel) throws -> any MergeableMethod {
    let method = try MethodRequest(variant.method).make(variant.options, model, seed: 3)
    for (number, parameter) in method.parameters.enumerated() {
      let noise = Initialization.uniform(
        parameter.shape, bound: 0.1, CounterGenerator(seed: 5, purpose: .bench, site: UInt32(number)))
      for index in 0..<parameter.count { parameter.value.pointer[index] += noise.pointer[index] }
    }
    return try #require(method as? any MergeableMethod)
  }

  private func model(
    _ base: any LanguageModel, _ changed: [String: Tensor], in folder: URL, like name: String = "t5_v10"
  ) throws -> any LanguageModel {
    var tensors = Dictionary(uniqueKeysWithValues: base.parameters.map { ($0.name, $0.value) })
    #expect(Set(changed.keys).isSubset(of: tensors.keys))
    tensors.merge(changed) { $1 }
    try ModelFolder.write(tensors: tensors, like: Golden.root.appending(path: "models/\(name)"), to: folder)
    return try ModelCatalogue.load(ModelFolder(folder))
  }

  @Test(arguments: variants) func theMergedModelComputesTheSame(variant: CatalogueTests.Variant) throws {
    let base = try Golden.anyModel(variant.model)
    let method = try tuned(variant, base)
    let expected = base.logits(method).values
    #expect(largestDifference(expected, base.logits(FrozenBase()).values) > 0.01)
    try withTemporaryFolder { folder in
      let merged = try model(
        base, method.mergedTensors(base, direction: .merge), in: folder.appending(path: "merged"), like: variant.model)
      #expect(largestDifference(merged.logits(FrozenBase()).values, expected) <= 2e-5)
      // A classifier's head that was replaced does not come back.
      let hasWayBack =
        variant.model != "roberta"
        && ["lora", "lora gaussian", "lora orthogonal", "lora random", "pissa", "ia3"].contains(
          variant.label)
      guard hasWayBack else {
        #expect(throws: MethodError.self) { try method.mergedTensors(merged, direction: .unmerge) }
        return
      }
      let restored = try method.mergedTensors(merged, direction: .unmerge)
      for parameter in base.parameters {
        let found = restored[parameter.name]?.values ?? parameter.value.values
        #expect(largestDifference(found, parameter.value.values) <= 1e-6, "\(parameter.name)")
      }
    }
  }

  @Test func aSharedEmbeddingIsNotChanged() throws {
    let base = try Golden.model()
    for change: (inout MethodOptions) -> Void in [
      { $0.targetModules = .names(["lm_head"]) }, { $0.modulesToSave = ["lm_head"] },
    ] {
      let method = try MethodRequest("lora").make(MethodOptions(change), base, seed: 1)
      let error = #expect(throws: MethodError.self) {
        try (method as? any MergeableMethod)?.mergedTensors(base, direction: .merge)
      }
      #expect(error.map { "\($0)".contains("embedding") } == true)
    }
  }

  @Test func aZeroCannotBeDividedOut() throws {
    let base = try Golden.model()
    let method = try MethodRequest("ia3").make(MethodOptions(), base, seed: 1)
    method.parameters[2].value.pointer[0] = 0
    #expect(throws: MethodError.self) {
      try (method as? any MergeableMethod)?.mergedTensors(base, direction: .unmerge)
    }
  }
}
