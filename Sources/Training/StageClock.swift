import Diagnostics

/// Where the main thread's time goes, by stage: what `summary.json` reports and what a cost is judged by.
@MainActor
public final class StageClock {
  public enum Stage: String, CaseIterable, Sendable {
    /// States of frozen layers that the activation cache lacked.
    case frozen
    /// Leaves of this rank, and waiting for them.
    case leaves
    /// The exact sum over the ranks, waiting for slower ones included.
    case reduction
    /// Clipping and the optimizer.
    case update
    /// Digests and their comparison across ranks.
    case digests
    /// Copying the state for the writing thread, and logs.
    case saving
    case evaluation
  }

  public private(set) var seconds: [Stage: Double] = [:]

  func measure<Result>(_ stage: Stage, _ body: () throws -> Result) rethrows -> Result {
    let watch = Stopwatch()
    defer { seconds[stage, default: 0] += watch.seconds }
    return try body()
  }
}
