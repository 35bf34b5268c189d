import Checkpoints
import Collectives
import Diagnostics
import TensorCore

extension Trainer {
  /// Takes up the newest checkpoint that verifies; says so, and where there is none starts at step 0.
  ///
  /// - Parameter limit: the latest step that serves.
  public func resume(upTo limit: Int = .max) throws {
    let received =
      try world.map { world in try world.broadcastCheckpoint { try newestCheckpoint(upTo: limit) } } ?? alone(limit)
    guard let received else {
      RunLog.notice("no usable checkpoint in the output folder; starting at step 0")
      return
    }
    (state, best) = try archive.restore(received.members, tensors: received.tensors, path: received.path)
    submittedStep = state.step
    RunLog.notice("resuming after step \(state.step) from \(received.path)")
  }

  private func newestCheckpoint(upTo limit: Int) throws -> Checkpoint? {
    guard let folder else { return nil }
    let (checkpoint, warnings) = try folder.checkpoints.newestValid(upTo: limit)
    for warning in warnings { RunLog.warning(warning) }
    return checkpoint
  }

  private func alone(_ limit: Int) throws -> (members: JSONObject, tensors: [String: Tensor], path: String)? {
    guard let checkpoint = try newestCheckpoint(upTo: limit) else { return nil }
    let tensors = try checkpoint.tensors.names.map { ($0, try checkpoint.tensors.tensor($0)) }
    return (checkpoint.state, Dictionary(uniqueKeysWithValues: tensors), checkpoint.url.path)
  }

  /// Hands a copy of the state to the writing thread.
  func save() throws {
    guard let folder, submittedStep != state.step else { return }
    submittedStep = state.step
    folder.writer(keep: configuration.keepCheckpoints).submit(
      .init(
        step: state.step, tensors: archive.tensors(best: best).map { ($0.0, $0.1.copy()) },
        state: archive.members(state)))
  }

  /// While leaves are computed: where a signal asks to stop, the last completed step goes to the writing thread at once. Whoever
  /// sent it may not wait for the leaves that are under way, which in a large model take seconds.
  func saveOnRequest() throws {
    if StopRequest.isPending, state.step > 0 { try save() }
  }

  /// Saves the last completed step, whatever the save interval, and waits until it is on disk.
  func stop() throws -> Ending {
    PhaseBoard.enter("saving")
    if state.step > 0 { try save() }
    try finishSaving()
    return .stopped(step: state.step)
  }

  /// Saves the step to which the run was to go.
  func pause() throws -> Ending {
    PhaseBoard.enter("saving")
    try save()
    try finishSaving()
    return .paused
  }

  /// Waits for the writing thread. Throws: `TrainingError.notSaved` if the last state could not be written.
  public func finishSaving() throws {
    guard let folder, let failure = folder.finishWriting() else { return }
    throw TrainingError.notSaved(
      step: state.step, reason: failure, last: try? folder.checkpoints.newestValid(upTo: .max).checkpoint?.step)
  }
}
