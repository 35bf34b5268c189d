import Autograd
import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// The head that names masked tokens, against Hugging Face: all logits, the loss and the gradient at every weight.
@Suite struct MaskedHeadTests {
  @Test(arguments: ["roberta", "bert"]) func asTheReference(family: String) throws {
    let folder = Golden.models.deletingLastPathComponent().appending(path: "masked/\(family)")
    let model = try MaskedBERT(ModelFolder(folder))
    let reference = try SafetensorsFile(folder.appending(path: "case.safetensors"))
    let mask = try reference.integers("attention_mask")
    let (ids, labels) = (try reference.integers("input_ids"), try reference.integers("labels"))
    let width = ids.count / 3
    func rows(_ values: [Int64]) -> [[Int32]] {
      (0..<3).map { row in
        (0..<width).filter { mask[row * width + $0] == 1 }.map { Int32(values[row * width + $0]) }
      }
    }
    let batch = LeafBatch(sources: rows(ids), labels: rows(labels), examples: [4, 0, 9])

    let method = FullFineTuning(model)
    let logits = model.logits(batch, method.inferencePass()).value
    let expected = try reference.tensor("logits").values
    var row = 0
    for (example, source) in batch.sources.enumerated() {
      for position in source.indices {
        let first = (example * width + position) * 48
        #expect(largestDifference(logits.rows(row..<row + 1).values, Array(expected[first..<first + 48])) < 2e-4)
        row += 1
      }
    }

    let tape = Tape(pool: BufferPool())
    let parameters = method.parameters.map { tape.variable($0.value) }
    let pass = method.pass(tape: tape, sites: method.materialise(parameters, tape))
    let sum = model.lossSum(batch, pass, gradientScale: 1 / 5)
    tape.backward()
    #expect(abs(sum / 5 - Double(try reference.tensor("loss").values[0])) < 1e-4)
    var compared: Set<String> = []
    for (parameter, variable) in zip(method.parameters, parameters) {
      let expected = try reference.tensor("grad/\(parameter.name)").values
      // A weight that no path reaches has no gradient here, zeros there.
      let found = variable.gradient?.values ?? Array(repeating: 0, count: expected.count)
      #expect(largestDifference(found, expected) < 2e-4, "\(parameter.name)")
      compared.insert("grad/\(parameter.name)")
    }
    #expect(compared == Set(reference.names.filter { $0.hasPrefix("grad/") }))
  }

  @Test func aCheckpointWithoutTheHeadSaysSo() throws {
    let error = #expect(throws: CheckpointError.self) {
      try MaskedBERT(ModelFolder(Golden.models.appending(path: "roberta")))
    }
    #expect(error?.description.contains("lm_head.dense.weight") == true, "\(String(describing: error))")
  }
}
