/// Seconds during which this process could run: a clock that stands still while it is stopped.
///
/// A process that was stopped (SIGSTOP, a suspended machine, a debugger) and goes on must not blame the
/// others for the time it did not see them. So the watchdog counts the time it asked to sleep and a little
/// more, never a whole gap.
struct WatchdogClock {
  /// Seconds counted so far.
  private(set) var seconds = 0.0
  private var last: Double

  /// How much later than asked a thread may wake on a busy machine and have all the time counted.
  static let lateness = 0.25

  /// - Parameter moment: now, in seconds of any clock that does not jump back.
  init(at moment: Double) { last = moment }

  /// Counts the time since the last call.
  /// - Parameter asked: the sleep asked for in between.
  mutating func advance(to moment: Double, slept asked: Double) {
    seconds += min(max(0, moment - last), asked + WatchdogClock.lateness)
    last = moment
  }
}
