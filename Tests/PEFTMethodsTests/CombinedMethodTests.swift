import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// Several methods at once.
@Suite struct CombinedMethodTests {
  private let options = MethodOptions { $0.virtualTokenCount = 3 }

  @Test func eachPartDoesWhatItDoesAlone() throws {
    let model = try Golden.model()
    let both = try MethodRequest("prompt-tuning+lora+bitfit").make(options, model, seed: 7)
    #expect(both.name == "prompt-tuning+lora+bitfit" && both.virtualTokenCount == 3)
    let prompt = try MethodRequest("prompt-tuning").make(options, model, seed: 7)
    // LoRA and the norms start as the base.
    #expect(largestDifference(model.logits(both).values, model.logits(prompt).values) <= 1e-5)
    let before = model.logits(both).values
    for suffix in ["lora_B.weight", "ln_tuning_layers.weight"] {
      let parameter = try #require(both.parameters.first { $0.name.hasSuffix(suffix) })
      let value = parameter.value.copy()
      parameter.value.fill(0.4)
      #expect(largestDifference(model.logits(both).values, before) > 1e-3, "\(suffix)")
      parameter.value.copyElements(from: value)
    }
  }

  @Test func ratesOfTheirOwn() throws {
    let model = try Golden.model()
    let request = try MethodRequest("prompt-tuning+lora", rateOf: ["lora": 0.003])
    #expect(request.rates == [0.3, 0.003] && request.rate == 0.3)
    #expect(request.rateText == "0.3 (prompt-tuning), 0.003 (lora)")
    let plus = MethodOptions {
      $0.virtualTokenCount = 3
      $0.loraPlusRatio = 4
    }
    let method = try request.make(plus, model, seed: 1)
    for (parameter, factor) in zip(method.parameters, method.learningRateFactors) {
      let expected = parameter.name.contains("lora_B") ? 0.04 : parameter.name.contains("lora_A") ? 0.01 : 1
      #expect(abs(factor - expected) < 1e-12, "\(parameter.name)")
    }
    #expect(try MethodRequest("prompt-tuning+lora", rate: 0.01, rateOf: ["lora": 1]).rates == [0.01, 1])
  }

  @Test(
    arguments: [
      ("ia3+lora", "both change encoder.block.0.layer.0.SelfAttention.v"), ("lora+lora", "both change"),
      ("prompt-tuning+p-tuning", "both change the input embeddings"), ("full+lora", "'full' alone"),
      ("prefix-tuning+prefix-tuning-paper", "keys and values"), ("lora+nothing", "unknown method 'nothing'"),
      ("lora+", "unknown method ''"),
    ])
  func whatDoesNotGoTogether(names: String, words: String) throws {
    let model = try Golden.model()
    let error = #expect(throws: MethodError.self) { try MethodRequest(names).make(options, model, seed: 1) }
    #expect(error.map { "\($0)".contains(words) } == true, "\(error.map { "\($0)" } ?? "")")
  }

  @Test func aRateForAnotherMethodIsAnError() {
    #expect(throws: MethodError.self) { try MethodRequest("lora", rateOf: ["ia3": 1]) }
  }

  @Test func writtenInPartsAndReadBack() throws {
    let model = try Golden.model()
    let request = try MethodRequest("p-tuning+lora")
    let method = try request.make(options, model, seed: 4)
    for parameter in method.parameters where parameter.name.contains("lora_B") { parameter.value.fill(0.02) }
    try withTemporaryFolder { folder in
      for part in try method.adapterFiles(baseModelName: "base").parts {
        try AdapterFolder.write(
          config: #require(part.files.config), tensors: part.files.tensors,
          trainingTensors: part.files.trainingTensors, to: folder.appending(path: part.name))
      }
      let read = try request.adopt(MethodCatalogue.read(folder: folder, model: model), model)
      #expect(read.parameters.map(\.name) == method.parameters.map(\.name))
      #expect(model.logits(read).values == model.logits(method).values)
      let error = #expect(throws: MethodError.self) {
        try MethodRequest("lora").adopt(MethodCatalogue.read(folder: folder, model: model), model)
      }
      #expect(error.map { "\($0)".contains("lora+p-tuning") } == true)
    }
  }
}
