import Synchronization

/// The leaves of a round nobody has got yet, kept by rank 0: its own workers take from it directly, its main
/// thread takes for the other ranks.
///
/// It also decides, once, how the round ends: a stop counts if there are leaves left that nobody has been
/// given, and then nobody gets any; it comes too late if all have been handed out. Whoever is told that there
/// are no more leaves is told the same ``ending``.
final class LeafLedger: LeafSource {
  private struct State {
    /// Of the first round, for workers of this rank.
    var own: ArraySlice<Int>
    /// For whoever asks next.
    var shared: ArraySlice<Int>
    /// Of this rank's workers.
    var taken: [Int] = []
    var handedOut: Int
    var isStopped = false
    var isClosed = false
  }
  private let state: Mutex<State>

  /// - Parameters:
  ///   - own: leaves for the workers of this rank only.
  ///   - shared: leaves for whoever asks, the most expensive first.
  ///   - handedOut: leaves that others have got without asking.
  init(own: [Int] = [], shared: ArraySlice<Int>, handedOut: Int = 0) {
    state = Mutex(State(own: own[...], shared: shared, handedOut: handedOut))
  }

  func next(worker: Int) -> Int? {
    state.withLock { state in
      guard let leaf = state.own.popFirst() ?? state.shared.popFirst() else { return nil }
      state.taken.append(leaf)
      state.handedOut += 1
      return leaf
    }
  }

  /// Leaves for another rank; none means that there will be no more.
  func take(atMost count: Int) -> [Int] {
    state.withLock { state in
      let leaves = Array(state.shared.prefix(count))
      state.shared = state.shared.dropFirst(leaves.count)
      state.handedOut += leaves.count
      return leaves
    }
  }

  /// Ends the round early, if there is anything left to hand out.
  func stop() {
    state.withLock { state in
      guard !state.shared.isEmpty else { return }
      state.isStopped = true
      (state.own, state.shared) = ([], [])
    }
  }

  func close() {
    state.withLock { state in
      state.isClosed = true
      (state.own, state.shared) = ([], [])
    }
  }

  /// Whether a worker of this rank has failed.
  var isClosed: Bool { state.withLock { $0.isClosed } }
  /// Settled as soon as nothing is left to hand out.
  var ending: LeafDispatch.Ending { state.withLock { $0.isStopped ? .stopped : .complete } }
  /// Leaves that workers of this rank took.
  var taken: [Int] { state.withLock { $0.taken } }
  /// Leaves that anybody got.
  var handedOut: Int { state.withLock { $0.handedOut } }
}
