import Foundation

/// Seconds since a moment, on a clock that never jumps back and is not set by anyone (`CLOCK_MONOTONIC`).
public struct Stopwatch: Sendable {
  private var start: Double

  /// Starts now.
  public init() { start = Self.now }

  /// Seconds since the start or the last lap.
  public var seconds: Double { Self.now - start }

  /// Seconds since the start or the last lap; a new lap begins now.
  public mutating func lap() -> Double {
    let now = Self.now
    defer { start = now }
    return now - start
  }

  /// Seconds since some moment before this process began; only differences mean anything.
  public static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
