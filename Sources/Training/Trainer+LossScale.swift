import Diagnostics

extension Trainer {
  /// What the next step multiplies the loss by.
  var lossScale: Float {
    switch configuration.lossScaling {
    case .constant(let scale): scale
    case .dynamic(let initial, _): state.lossScaler?.scale ?? initial
    }
  }

  /// Passes over a step whose loss or gradient is not finite: no parameter, no state of the optimizer changes, and the
  /// schedule stands still.
  ///
  /// A dynamic loss scale shrinks and the run goes on. Where no smaller scale can help, because it has come down to
  /// `LossScaling.floor` or the base itself is damaged, the step counts as one without loss scaling. The outcome of the
  /// reduction decides, so all ranks do the same.
  ///
  /// - Throws: `TrainingError.nonFinite` unless the run skips such steps.
  func skip(rate: Double) throws -> StepResult {
    let result = StepResult(loss: .nan, norm: .nan, rate: rate, lossScale: lossScale, isSkipped: true)
    let examples = try engine.nonFiniteLeaves()
    let weights = engine.evaluator.model.nonFiniteWeights
    let mayBeTheScale = weights.isEmpty && state.lossScaler.map { !$0.isAtMinimum } ?? false
    let failure = TrainingError.nonFinite(
      step: state.step + 1, examples: examples, weights: weights, lossScaling: configuration.lossScaling,
      precision: engine.evaluator.weights.precision, overflow: mayBeTheScale ? nil : try engine.firstOverflow())
    guard mayBeTheScale || configuration.skipsNonFiniteSteps else { throw failure }
    state.lossScaler?.update(foundNonFinite: true)
    state.step += 1
    if mayBeTheScale {
      RunLog.notice(
        "step \(state.step): a gradient overflowed at loss scale \(result.lossScale); the step is skipped, the loss scale is "
          + "\(lossScale) from here on")
    } else {
      RunLog.warning("\(failure); the step is skipped")
    }
    return result
  }
}
