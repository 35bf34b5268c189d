import Diagnostics

extension Trainer {
  /// What recomputing a window of steps found.
  public enum Verification: Equatable {
    case agrees(first: Int, last: Int, steps: Int)
    /// The first step that came out otherwise, and the tensors that did (none: only the loss).
    case differs(step: Int, tensors: [String])
    /// The run recorded no digest for any of the steps.
    case nothingRecorded
    /// A signal asked for an end before the last step.
    case stopped
  }

  /// Recomputes `window` from the nearest checkpoint before it and compares with the digests the run recorded.
  ///
  /// Nothing in the run folder is written.
  public func verify(_ window: ClosedRange<Int>, against log: DigestLog) throws -> Verification {
    StopRequest.handle()
    try resume(upTo: window.lowerBound - 1)
    let recorded = Dictionary(log.steps.map { ($0.step, $0) }, uniquingKeysWith: { $1 })
    // Nothing can be compared beyond what the run recorded.
    guard let last = recorded.keys.filter(window.contains).max() else { return .nothingRecorded }
    let progress = ProgressBar(name: "step", total: last, firstStep: state.step)
    defer { progress.finish() }
    var compared: [Int] = []
    while state.step < last {
      guard let result = try update(planner.plan(step: state.step)) else { return .stopped }
      progress.update(step: state.step, loss: result.loss)
      guard window.contains(state.step), let expected = recorded[state.step] else { continue }
      compared.append(state.step)
      let tensors = ParameterDigest.digests(method.parameters).map(DigestLog.tensorText)
      let names = zip(log.tensorNames, zip(expected.tensors, tensors)).filter { $1.0 != $1.1 }.map { $0.0 }
      if !names.isEmpty || DigestLog.lossText(result.loss) != expected.loss {
        return .differs(step: state.step, tensors: names)
      }
    }
    return .agrees(first: compared.first ?? last, last: last, steps: compared.count)
  }
}
