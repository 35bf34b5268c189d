import Checkpoints
import Foundation
import NN
import TensorCore
import Training

/// Gradient, optimizer steps and final tensors of a case.
extension CaseReplay {
  /// One loss or norm for each state, and the rate of each update.
  private struct Course {
    var loss: Finding
    var losses: Finding
    var rates = Finding("lrs", Tolerance(relative: 1e-9))
    var norms: Finding
    var coefficients: Finding

    /// Cases state no tolerance for norms: their entries may be off by `grad_rtol`, and after updates the states are as
    /// far apart as the losses.
    init(_ file: CaseFile) throws {
      let losses = try file.tolerance("losses")
      self.losses = Finding("losses", losses)
      loss = Finding("loss", try file.tolerance("loss"))
      let norm = Tolerance(absolute: losses.absolute, relative: try file.tolerance("grad").relative)
      norms = Finding("grad norms", norm)
      coefficients = Finding("clip coefficients", norm)
    }
  }

  func trainingFindings(_ expected: SafetensorsFile) throws -> [Finding] {
    let options = try file.json.object("optimizer")
    let schedule = try ReferenceOptimizer.schedule(options)
    let arguments = try options.optionalObject("args") ?? options
    let configuration = try ReferenceOptimizer.configuration(type: options.string("type"), arguments)
    let base = try arguments.double("lr")
    let optimizer = makeOptimizer(
      configuration, shapes: method.parameters.map(\.shape),
      weightDecays: try weightDecays(configuration, options))
    let maxNorm = try file.json.optionalDouble("max_grad_norm")
    if let maxNorm, !(maxNorm > 0) { throw file.json.error("max_grad_norm", expected: "a positive number") }
    let losses = try file.expected.doubles("losses")
    guard try options.int("steps") == losses.count - 1 else {
      throw options.error("steps", expected: "one step fewer than expected.losses has entries")
    }

    var course = try Course(file)
    var first: [Finding] = []
    for step in losses.indices {
      let loss = try lossSum(inputs.leaves) / Double(inputs.targetCount)
      course.losses.compare(loss, losses[step], at: "after \(step) updates")
      if step == 0 {
        course.loss.compare(loss, try file.expected.double("loss"), at: "loss")
        first = try gradientFindings(expected)
      }
      guard step < losses.count - 1, loss.isFinite else { break }
      try clip(step, maxNorm, &course)
      if step == 0, maxNorm != nil { first.append(try clippedGradient(expected)) }
      let rate = base * schedule.factor(step: step)
      course.rates.compare(rate, try element(step, "lrs"), at: "update \(step)")
      optimizer.update(
        parameters: method.parameters.map(\.value), gradients: engine.gradients,
        rates: method.parameters.map { _ in Float(rate) })
    }
    let middle = [course.loss] + first + [course.norms] + (maxNorm == nil ? [] : [course.coefficients])
    return middle + [course.rates, course.losses] + (try finalFindings())
  }

  private func weightDecays(_ configuration: OptimizerConfiguration, _ options: JSONObject) throws -> [Float] {
    let exempt = try options.optionalStrings("no_weight_decay_if_name_contains") ?? []
    return method.parameters.map { parameter in
      exempt.contains { parameter.name.contains($0) } ? 0 : Float(configuration.weightDecay)
    }
  }

  /// Compares the norm before update `step`, and clips if the case does.
  private func clip(_ step: Int, _ maxNorm: Double?, _ course: inout Course) throws {
    let norm = GradientClipping.globalNorm(engine.gradients)
    let key = maxNorm == nil ? "grad_norms" : "grad_norms_before_clip"
    course.norms.compare(norm, try element(step, key), at: "before update \(step)")
    guard let maxNorm, norm.isFinite else { return }
    let coefficient = GradientClipping.clip(engine.gradients, maxNorm: maxNorm, norm: norm)
    course.coefficients.compare(coefficient, try element(step, "clip_coef"), at: "before update \(step)")
  }

  private func element(_ index: Int, _ key: String) throws -> Double {
    let values = try file.expected.doubles(key)
    guard values.indices.contains(index) else {
      throw file.expected.error(key, expected: "more than \(index) numbers")
    }
    return values[index]
  }

  private func clippedGradient(_ expected: SafetensorsFile) throws -> Finding {
    var finding = Finding("clipped grad", try file.tolerance("grad"))
    let prefix = "clipped_grad/"
    finding.compare(
      names: method.parameters.map { prefix + $0.name }, expected.names.filter { $0.hasPrefix(prefix) })
    for (parameter, found) in zip(method.parameters, engine.gradients)
    where expected.contains(prefix + parameter.name) {
      finding.compare(found, try expected.tensor(prefix + parameter.name), at: parameter.name)
    }
    return finding
  }

  /// The tensors as users get them, or of full fine-tuning those that the reference kept.
  private func finalFindings() throws -> [Finding] {
    let tolerance = try file.tolerance("final")
    var finding = Finding("final", tolerance)
    let found = try method.adapterFiles(baseModelName: "").tensors
    if ReferenceRoot.exists(file.url("trainable_final.safetensors")) {
      let trained = try file.tensors("trainable_final.safetensors")
      finding.compare(names: method.parameters.map(\.name), trained.names)
      for parameter in method.parameters where trained.contains(parameter.name) {
        finding.compare(parameter.value, try trained.tensor(parameter.name), at: parameter.name)
      }
      guard ReferenceRoot.exists(file.url("adapter_final")) else { return [finding] }
    }
    if ReferenceRoot.exists(file.url("adapter_final")) {
      let expected = try AdapterFolder.read(file.url("adapter_final")).tensors
      for (name, tensor) in expected.sorted(by: { $0.key < $1.key }) {
        if let found = found[name] { finding.compare(found, tensor, at: name) }
      }
      return [finding]
    }
    let whole = try file.tensors("final_1d.safetensors")
    finding.compare(
      names: found.filter { $0.value.shape.count == 1 }.keys, whole.names)
    for name in whole.names {
      if let found = found[name] { finding.compare(found, try whole.tensor(name), at: name) }
    }
    let tensors = found.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    return [finding]
      + (try TensorSummary.findings("final", tensors, file.json.object("final_summary"), tolerance))
  }
}
