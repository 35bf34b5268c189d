import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing

/// A classifier whose head is for another number of labels than the task.
@Suite struct HeadSizeTests {
  private static let three = ["negative", "neutral", "positive"]

  @Test(arguments: ["bert", "roberta"]) func anotherSizeIsAnErrorOrANewHead(name: String) throws {
    let folder = try ModelFolder(InteropTests.root.appending(path: "bases/\(name)"))
    let error = try #require(throws: CheckpointError.self) {
      _ = try BERT(folder, head: HeadRequest(labels: Self.three, problem: .singleLabel))
    }
    guard case .otherHead(_, 2, let names, Self.three) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(names == ["LABEL_0", "LABEL_1"])
    #expect("\(error)".contains("is for 2 labels (LABEL_0, LABEL_1), the task has 3 (negative, neutral, positive)"))
    #expect("\(error)".contains("--ignore-mismatched-head"))

    let model = try BERT(folder, head: HeadRequest(labels: Self.three, problem: .singleLabel, replacesOtherSize: true))
    let head = try #require(model.description.head)
    #expect(head.isFresh && head.replacedLabelCount == 2 && head.labels == Self.three)
    let scores = try #require(head.parameters.last { $0.shape.count == 2 })
    #expect(scores.shape == [3, 8] && head.parameters.last?.value.values == [0, 0, 0])
    // Of RoBERTa's head the first layer fits and stays, as in HF.
    if name == "roberta" {
      let dense = try #require(head.parameters.first)
      let stored = folder.weights().tensor(
        "roberta.classifier.dense.weight", [8, 8], aliases: ["classifier.dense.weight"])
      #expect(dense.value.hasSameBytes(as: stored))
    }
  }

  @Test func aHeadThatFitsIsNotReplaced() throws {
    let folder = try ModelFolder(InteropTests.root.appending(path: "bases/bert"))
    for replaces in [false, true] {
      let head = try #require(
        BERT(folder, head: HeadRequest(labels: ["no", "yes"], replacesOtherSize: replaces)).description.head)
      #expect(!head.isFresh && head.replacedLabelCount == nil && head.labels == ["no", "yes"])
    }
  }

  /// Each kind of place has the rate that the configuration gives it.
  @Test func dropoutRatesOfEachPlace() throws {
    func config(_ name: String, _ changes: [String: JSON]) throws -> JSONObject {
      let members = try JSONObject(file: InteropTests.root.appending(path: "bases/\(name)/config.json")).members
      return JSONObject(members.merging(changes) { $1 }, origin: name)
    }
    let bert = try BERTConfiguration(
      config(
        "bert", ["hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.2, "classifier_dropout": 0.3]),
      family: .bert, request: HeadRequest())
    #expect(bert.dropoutRates == DropoutRates(hidden: 0.1, embedding: 0.1, attention: 0.2, head: 0.3))
    let plain = try BERTConfiguration(
      config("roberta", ["hidden_dropout_prob": 0.25, "classifier_dropout": .null]), family: .roberta,
      request: HeadRequest())
    #expect(plain.dropoutRates == DropoutRates(hidden: 0.25, embedding: 0.25, attention: 0.1, head: 0.25))
    let gpt2 = try GPT2Configuration(
      config("gpt2", ["resid_pdrop": 0.0, "embd_pdrop": 0.4, "attn_pdrop": 0.5]), generation: nil)
    #expect(gpt2.dropoutRates == DropoutRates(hidden: 0, embedding: 0.4, attention: 0.5))
    #expect(gpt2.dropoutRates.common == nil && gpt2.dropoutRates.largest == 0.5 && DropoutRates(0.1).common == 0.1)
  }
}
