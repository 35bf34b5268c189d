import NN
import TensorCore

extension LoRA {
  /// `W + s B A`, with DoRA `m / n ⊙ (W + s B A)`; trained copies take the place of what they were copied from.
  public func mergedTensors(_ model: any LanguageModel, direction: MergeDirection) throws -> [String: Tensor] {
    if direction == .unmerge {
      try require(!configuration.usesMagnitudes, "the norms that DoRA divides by are lost with the merge")
      try require(substitutions.isEmpty, "values it replaced are lost with the merge")
    }
    let embedding = model.description.wordEmbedding
    try require(
      savedHeads.isEmpty, "the model shares the output head with its embedding, and the adapter has a head of its own")
    let sites = siteValues
    var merged: [String: Tensor] = [:]
    for linear in model.description.linears {
      guard let term = terms[linear.path] else { continue }
      try require(
        linear.weight !== embedding, "the model shares \(linear.path) with its embedding, which must not change")
      let factors = LowRankFactors(a: sites[term.a], b: sites[term.a + 1])
      let updated = linear.updated(by: factors, scaling: direction == .merge ? term.scaling : -term.scaling)
      if configuration.usesMagnitudes {
        for row in 0..<updated.rows {
          let factor = sites[term.a + 2].pointer[row]
          for column in 0..<updated.width { updated.pointer[row * updated.width + column] *= factor }
        }
      }
      merged[linear.weight.name] = linear.stored(updated)
    }
    for (base, site) in substitutions { merged[base.name] = sites[site].copy() }
    return merged
  }

  private func require(_ holds: Bool, _ reason: String) throws {
    if !holds { throw MethodError.cannotMerge(method: name, reason: reason) }
  }
}

extension Linear {
  /// A matrix `[out, in]` in the layout of the checkpoint.
  fileprivate func stored(_ matrix: Tensor) -> Tensor {
    guard layout == .inputByOutput else { return matrix }
    let result = Tensor(zeros: weight.shape)
    for row in 0..<outputSize {
      for column in 0..<inputSize {
        result.pointer[column * outputSize + row] = matrix.pointer[row * inputSize + column]
      }
    }
    return result
  }
}
