import Checkpoints
import NN
import TensorCore
import Training

/// Names and gradients of the trainable tensors, and the arithmetic of micro-batches.
extension CaseReplay {
  /// Loss sum of `leaves`; their gradient, of the loss sum ÷ the targets of the whole case, in `engine.gradients`.
  /// NaN if something was not finite.
  func lossSum(_ leaves: [LeafBatch]) throws -> Double {
    let outcome = try engine.compute(
      leaves: leaves, gradientScale: Float(1 / Double(inputs.targetCount)), dropout: nil)
    guard case .done(let lossSum) = outcome else { return .nan }
    return lossSum
  }

  func gradientFindings(_ expected: SafetensorsFile) throws -> [Finding] {
    let tolerance = try file.tolerance("grad")
    let summary = try file.json.optionalObject("grad_summary")
    var names = Finding("names")
    let kinds = ["grad/", "grad_rows8/"]
    let expectedNames = expected.names.compactMap { name in
      kinds.first(where: name.hasPrefix).map { String(name.dropFirst($0.count)) }
    }
    names.compare(
      names: method.parameters.map(\.name), Set(expectedNames + (summary?.members.keys.map { $0 } ?? [])))
    var gradient = Finding("grad", tolerance)
    for (parameter, found) in zip(method.parameters, engine.gradients) {
      if expected.contains("grad/\(parameter.name)") {
        gradient.compare(found, try expected.tensor("grad/\(parameter.name)"), at: parameter.name)
      } else if expected.contains("grad_rows8/\(parameter.name)") {
        let rows = found.shape.isEmpty ? found : found.rows(0..<min(8, found.shape[0]))
        gradient.compare(rows, try expected.tensor("grad_rows8/\(parameter.name)"), at: parameter.name)
      }
    }
    guard let summary else { return [names, gradient] }
    let tensors = zip(method.parameters, engine.gradients).map { ($0.name, $1) }
    return [names, gradient] + (try TensorSummary.findings("grad", tensors, summary, tolerance))
  }

  /// `accum_*`: two leaves are normalised by the targets of both.
  func microBatchFindings(_ expected: SafetensorsFile) throws -> [Finding] {
    let tolerance = try file.tolerance("loss")
    var counts = Finding("target tokens")
    var sums = Finding("micro-batch sums", Tolerance(relative: tolerance.absolute))
    var means = Finding("micro-batch means", tolerance)
    let targets = try file.expected.ints("micro_target_tokens")
    counts.compare(exactly: inputs.leaves.map(\.targetCount), targets, at: "micro_target_tokens")
    counts.compare(
      exactly: inputs.targetCount, try file.expected.int("total_target_tokens"), at: "total_target_tokens")
    let leafSums = try inputs.leaves.map { try lossSum([$0]) }
    sums.compare(leafSums, try file.expected.doubles("micro_sum_losses"), at: "micro_sum_losses")
    means.compare(
      zip(leafSums, inputs.leaves).map { $0 / Double($1.targetCount) },
      try file.expected.doubles("micro_mean_losses"), at: "micro_mean_losses")
    var loss = Finding("loss", tolerance)
    loss.compare(
      try lossSum(inputs.leaves) / Double(inputs.targetCount), try file.expected.double("loss"), at: "loss")
    return [counts, sums, means, loss] + (try gradientFindings(expected))
  }
}
