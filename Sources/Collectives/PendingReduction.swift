import CMPI
import Diagnostics
import Foundation

/// Non-blocking MPI operations under way, tested together.
///
/// The buffers they work on belong to MPI until ``test()`` has returned true: keep them alive and untouched.
@MainActor
public final class PendingReduction {
  private var requests: [MPI_Request?]
  private let function: String
  private let rank: Int

  init(requests: [MPI_Request?], function: String, rank: Int) {
    self.requests = requests
    self.function = function
    self.rank = rank
  }

  /// Lets MPI progress and tells whether all is done; true for ever after.
  /// - Throws: `CollectivesError.mpi` if the operation failed.
  public func test() throws -> Bool {
    // MPI_Test on each, rather than MPI_Testall: no array of statuses, and finished ones drop out.
    while var request = requests.last {
      var done: Int32 = 0
      try MPICall.check(function, rank: rank) { MPI_Test(&request, &done, cmpi_status_ignore()) }
      guard done != 0 else {
        requests[requests.count - 1] = request
        return false
      }
      requests.removeLast()
    }
    return true
  }
}

/// How long a waiting main thread sleeps between two looks: not at all for 50 µs, then longer and longer.
///
/// A small reduction between ready ranks ends within the spin; a long wait costs the leaf workers, who want
/// the same cores, about two percent of one.
struct PollingPause {
  /// Longest sleep in microseconds; also the delay a waiting rank may add.
  var longestMicroseconds: UInt32 = 200
  private var sleepMicroseconds: UInt32 = 10
  private let spinUntil = DispatchTime.now().uptimeNanoseconds + 50_000

  init(longestMicroseconds: UInt32 = 200) {
    self.longestMicroseconds = longestMicroseconds
  }

  mutating func next() {
    if DispatchTime.now().uptimeNanoseconds < spinUntil { return }
    usleep(min(sleepMicroseconds, longestMicroseconds))
    sleepMicroseconds = min(sleepMicroseconds * 2, longestMicroseconds)
  }
}

extension World {
  /// Waits for `pending` with short sleeps, so that the main thread can look at signals and time.
  /// - Parameters:
  ///   - longestSleepMicroseconds: the sleep to which the pause grows.
  ///   - onPoll: called between looks, after the world's own ``onPoll``; what it throws ends the wait (and
  ///     leaves the operation with MPI: only ending the job is possible then).
  public func waitPolling(
    _ pending: PendingReduction, longestSleepMicroseconds: UInt32 = 200, onPoll: () throws -> Void = {}
  ) throws {
    var pause = PollingPause(longestMicroseconds: longestSleepMicroseconds)
    PhaseBoard.beginWaiting()
    defer { PhaseBoard.endWaiting() }
    while try !pending.test() {
      try self.onPoll()
      try onPoll()
      pause.next()
    }
  }
}
