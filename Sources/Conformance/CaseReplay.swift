import Autograd
import Checkpoints
import Collectives
import Foundation
import Models
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
    return CaseReport(name) {
      let file = try CaseFile(folder)
      return file.method == "LOSSES" ? try LossReplay.findings(file) : try CaseReplay(folder).findings()
    }
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
      microBatches: file.json["micro_batches"] == nil ? nil : file.json.integerLists("micro_batches"),
      hasSoftPrompt: method.virtualTokenCount > 0)
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

  /// All logits: of an encoder-decoder `[B, T, V]`, those at ignored labels included; of a classifier `[B, C]`; of a decoder
  /// `[B, T, V]` at every position of a row, virtual tokens included, but not at its padding, where the reference's mean
  /// nothing.
  private func logits(_ expected: SafetensorsFile) throws -> Finding {
    var finding = Finding("logits", try file.tolerance("logits"))
    let reference = try expected.tensor("logits")
    if let decoder = model as? GPT2 {
      try compareRows(decoder, reference, &finding)
      return finding
    }
    var rows: [Float] = []
    for leaf in inputs.leaves { rows += model.logits(leaf, inferencePass()).value.values }
    let width = model.description.outputSize
    let shape =
      model.description.kind == .classifier
      ? [inputs.rowCount, width] : [inputs.rowCount, inputs.labelLength, width]
    finding.compare(Tensor(rows, shape: shape), reference, at: "logits")
    return finding
  }

  private func compareRows(_ decoder: GPT2, _ reference: Tensor, _ finding: inout Finding) throws {
    let (positions, width) = (reference.shape[1], decoder.description.vocabularySize)
    var row = 0
    for leaf in inputs.leaves {
      let found = decoder.logitsOfAllPositions(leaf, inferencePass()).value
      var start = 0
      for (source, labels) in zip(leaf.sources, leaf.labels) {
        let count = method.virtualTokenCount + source.count + labels.count
        finding.compare(exactly: count <= positions, true, at: "positions of row \(row)")
        let expected = reference.reshaped([reference.shape[0] * positions, width])
          .rows(row * positions..<row * positions + min(count, positions))
        finding.compare(found.rows(start..<start + min(count, positions)), expected, at: "logits of row \(row)")
        start += count
        row += 1
      }
    }
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
