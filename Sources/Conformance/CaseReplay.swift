import Autograd
import Checkpoints
import Collectives
import Foundation
import NN
import TensorCore
import Training

/// Replays one case folder: logits, loss, gradients, optimizer steps, files and merged weights of a model under a method.
@MainActor
struct CaseReplay {
  let file: CaseFile
  let model: any LanguageModel
  let method: any PEFTMethod
  let inputs: CaseInputs
  let engine: GradientEngine

  static func report(_ folder: URL) -> CaseReport {
    let name = (try? CaseFile(folder).name) ?? folder.lastPathComponent
    return CaseReport(name) { try CaseReplay(folder).findings() }
  }

  init(_ folder: URL) throws {
    file = try CaseFile(folder)
    model = try ReferenceModel.load(file.root.resolve("model", of: file.json))
    let training = file.url("trainable_init.safetensors")
    method = try ReferenceModel.method(
      file.method, adapter: file.url(file.initialAdapter),
      training: file.hasTrainingForm && ReferenceRoot.exists(training) ? training : nil, model: model)
    inputs = try CaseInputs(
      file.tensors("inputs.safetensors"), model: model.description,
      microBatches: file.json["micro_batches"] == nil ? nil : file.json.integerLists("micro_batches"))
    guard inputs.targetCount > 0 else {
      throw ConformanceError.badInputs(
        file: file.url("inputs.safetensors").path, reason: "labels: no target at all")
    }
    engine = try GradientEngine(
      evaluator: LeafEvaluator(model: model, method: method), world: nil, workers: LeafPool(threadCount: 1))
  }

  func findings() throws -> [Finding] {
    let expected = try file.tensors("expected.safetensors")
    let before = ReferenceModel.digests(model)
    var findings: [Finding] = []
    if expected.contains("logits") { findings.append(try logits(expected)) }
    if ReferenceRoot.exists(file.url(file.initialAdapter)) { findings += try adapterFindings(file.initialAdapter) }
    if ReferenceRoot.exists(file.url("merged_init.safetensors")) { findings += try mergeFindings() }
    if file.json["micro_batches"] != nil {
      findings += try microBatchFindings(expected)
    } else if file.json["optimizer"] != nil {
      findings += try trainingFindings(expected)
      if ReferenceRoot.exists(file.url("adapter_final")) { findings += try adapterFindings("adapter_final") }
    } else {
      findings.append(try forwardLoss())
    }
    var base = Finding("base unchanged")
    for (name, digest) in ReferenceModel.digests(model) {
      base.compare(exactly: digest, before[name] ?? "", at: "SHA-256 of \(name)")
    }
    return findings + [base]
  }

  /// All logits `[B, T, V]`, those at ignored labels included.
  private func logits(_ expected: SafetensorsFile) throws -> Finding {
    var finding = Finding("logits", try file.tolerance("logits"))
    var rows: [Float] = []
    for leaf in inputs.leaves { rows += model.logits(leaf, inferencePass()).value.values }
    let found = Tensor(rows, shape: [inputs.rowCount, inputs.labelLength, model.description.vocabularySize])
    finding.compare(found, try expected.tensor("logits"), at: "logits")
    return finding
  }

  private func forwardLoss() throws -> Finding {
    var finding = Finding("loss", try file.tolerance("loss"))
    let sum = inputs.leaves.reduce(0) { $0 + model.lossSum($1, inferencePass(), gradientScale: 0) }
    finding.compare(sum / Double(inputs.targetCount), try file.expected.double("loss"), at: "loss")
    return finding
  }

  private func inferencePass() -> ForwardPass {
    MatrixBackend.prepareThread()
    let pool = BufferPool()
    return engine.evaluator.inferencePass(sites: engine.evaluator.sites(pool: pool), pool: pool)
  }
}
