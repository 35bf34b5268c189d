import Diagnostics

extension Trainer {
  /// What recomputing a window of steps found.
  public enum Verification: Equatable {
    case agrees(steps: Int)
    /// The first step that came out otherwise, and the tensors that did (none: only the loss).
    case differs(step: Int, tensors: [String])
    /// The run recorded no digest for any of the steps.
    case nothingRecorded
  }

  /// Recomputes `window` from the nearest checkpoint before it and compares with the digests the run recorded.
  ///
  /// Nothing in the run folder is written.
  public func verify(_ window: ClosedRange<Int>, against log: DigestLog) throws -> Verification {
    try resume(upTo: window.lowerBound - 1)
    let recorded = Dictionary(log.steps.map { ($0.step, $0) }, uniquingKeysWith: { $1 })
    let progress = ProgressBar(name: "step", total: window.upperBound, firstStep: state.step)
    defer { progress.finish() }
    var compared = 0
    while state.step < window.upperBound {
      guard let result = try update(planner.plan(step: state.step)) else { break }
      progress.update(step: state.step, loss: result.loss)
      guard window.contains(state.step), let expected = recorded[state.step] else { continue }
      compared += 1
      let tensors = ParameterDigest.digests(method.parameters).map(DigestLog.tensorText)
      let names = zip(log.tensorNames, zip(expected.tensors, tensors)).filter { $1.0 != $1.1 }.map { $0.0 }
      if !names.isEmpty || DigestLog.lossText(result.loss) != expected.loss {
        return .differs(step: state.step, tensors: names)
      }
    }
    return compared > 0 ? .agrees(steps: compared) : .nothingRecorded
  }
}
