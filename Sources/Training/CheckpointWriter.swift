import Checkpoints
import Diagnostics
import Foundation
import Synchronization
import TensorCore

/// Writes checkpoints from a thread of its own, so that no step waits for a disk.
///
/// A snapshot that cannot be written is tried again, later and later, until a newer one takes its place; training goes on
/// meanwhile, and the checkpoints on disk stay as they are.
public final class CheckpointWriter: Sendable {
  /// The state after a step, copied.
  struct Snapshot: Sendable {
    let step: Int
    let tensors: [(String, Tensor)]
    let state: [String: JSON]
  }

  private struct State {
    var pending: Snapshot?
    var isWriting = false
    var isClosed = false
    var savedStep: Int?
    var failure: String?
    var attempts = 0
  }

  private let store: CheckpointStore
  private let keep: Int
  private let condition = NSCondition()
  private let state = Mutex(State())

  init(store: CheckpointStore, keep: Int) {
    self.store = store
    self.keep = keep
    let thread = Thread { [self] in work() }
    thread.stackSize = 4 << 20
    thread.start()
  }

  /// Hands over a snapshot; one that still waits is dropped for it.
  func submit(_ snapshot: Snapshot) {
    condition.lock()
    state.withLock {
      $0.pending = snapshot
      $0.attempts = 0
    }
    condition.broadcast()
    condition.unlock()
  }

  /// The newest step on disk that this writer has put there.
  var savedStep: Int? { state.withLock { $0.savedStep } }

  /// Waits until nothing is left to write, for at most `seconds` after the last failure.
  ///
  /// - Returns: nil if everything is written, otherwise why not.
  func drain(forAtMost seconds: Double) -> String? {
    let watch = Stopwatch()
    condition.lock()
    defer { condition.unlock() }
    while true {
      let (done, isWriting, failure) = state.withLock {
        ($0.pending == nil && !$0.isWriting, $0.isWriting, $0.failure)
      }
      if done { return nil }
      // What is being written may yet get there, however slow the disk.
      if watch.seconds > seconds, !isWriting, let failure { return failure }
      _ = condition.wait(until: Date(timeIntervalSinceNow: 0.2))
    }
  }

  /// Ends the thread once it has nothing to write.
  func close() {
    condition.lock()
    state.withLock { $0.isClosed = true }
    condition.broadcast()
    condition.unlock()
  }

  private func work() {
    while let (snapshot, delay) = next() {
      if delay > 0 { Thread.sleep(forTimeInterval: delay) }
      do {
        try store.save(step: snapshot.step, tensors: snapshot.tensors, state: snapshot.state, keep: keep)
        finish(snapshot, failure: nil)
      } catch {
        finish(snapshot, failure: "\(error)")
      }
    }
  }

  /// The snapshot to write next and how long to wait before; nil when closed.
  private func next() -> (Snapshot, Double)? {
    condition.lock()
    defer { condition.unlock() }
    while true {
      let found = state.withLock { state -> (Snapshot, Double)? in
        guard let snapshot = state.pending else { return nil }
        state.pending = nil
        state.isWriting = true
        return (snapshot, state.attempts == 0 ? 0 : min(30, 0.5 * pow(2, Double(state.attempts - 1))))
      }
      if let found { return found }
      if state.withLock({ $0.isClosed }) { return nil }
      condition.wait()
    }
  }

  private func finish(_ snapshot: Snapshot, failure: String?) {
    condition.lock()
    let before = state.withLock { state -> String? in
      let before = state.failure
      state.isWriting = false
      state.failure = failure
      if failure == nil {
        state.savedStep = snapshot.step
        state.attempts = 0
      } else {
        state.attempts += 1
        if state.pending == nil, !state.isClosed { state.pending = snapshot }
      }
      return before
    }
    condition.broadcast()
    condition.unlock()
    // One warning for a disk that stays full, not one for each step.
    if let failure, before == nil {
      RunLog.warning(
        "checkpoint after step \(snapshot.step) not saved: \(failure); training goes on, saving is tried again")
    } else if failure == nil, before != nil {
      RunLog.notice("checkpoints are saved again: step \(snapshot.step)")
    }
  }
}
