import Foundation

/// Leaves that rank 0 has given to this rank; workers wait here, and the main thread sees how many do.
///
/// Unchecked Sendable: every stored property is read and written under `condition` only.
final class LeafMailbox: LeafSource, @unchecked Sendable {
  private let condition = NSCondition()
  private var ready: [Int]
  private var waitingWorkers = 0
  private var isFinished: Bool
  private var wasClosed = false
  private var takenLeaves: [Int] = []

  /// - Parameters:
  ///   - leaves: those of the first round.
  ///   - isFinished: whether they are all this rank gets.
  init(leaves: [Int], isFinished: Bool) {
    ready = leaves
    self.isFinished = isFinished
  }

  private func locked<R>(_ body: () -> R) -> R {
    condition.lock()
    defer { condition.unlock() }
    return body()
  }

  func next(worker: Int) -> Int? {
    locked {
      if ready.isEmpty && !isFinished {
        waitingWorkers += 1
        condition.broadcast()
        while ready.isEmpty && !isFinished { condition.wait() }
        waitingWorkers -= 1
      }
      guard !ready.isEmpty else { return nil }
      let leaf = ready.removeFirst()
      takenLeaves.append(leaf)
      return leaf
    }
  }

  /// Leaves for the workers that wait.
  func put(_ leaves: [Int]) {
    locked {
      ready += leaves
      condition.broadcast()
    }
  }

  /// No more will come; what has come can be taken.
  func finish() {
    locked {
      isFinished = true
      condition.broadcast()
    }
  }

  func close() {
    locked {
      ready = []
      isFinished = true
      wasClosed = true
      condition.broadcast()
    }
  }

  /// Whether a worker of this rank has failed, or the round was stopped.
  var isClosed: Bool { locked { wasClosed } }
  /// Leaves that workers of this rank took.
  var taken: [Int] { locked { takenLeaves } }

  /// Waits until workers wait for leaves that have not come yet, and gives their number; 0 after
  /// `seconds`, or once the mailbox is closed.
  func hungryWorkers(waitingAtMostSeconds seconds: Double) -> Int {
    let deadline = Date(timeIntervalSinceNow: seconds)
    return locked {
      while waitingWorkers <= ready.count && !isFinished && condition.wait(until: deadline) {}
      return isFinished ? 0 : max(0, waitingWorkers - ready.count)
    }
  }
}
