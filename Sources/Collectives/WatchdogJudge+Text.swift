import Diagnostics
import Foundation

/// What a finding reads like.
extension WatchdogJudge {
  /// The one line of a job that ends: `rank 1 (node2) made no progress for 60 s in step 12`.
  func text(of finding: Finding) -> String {
    switch finding {
    case .silent(let ranks):
      blame(ranks, seconds: timeoutSeconds) + " (nothing heard)" + others(ranks)
    case .stuck(let ranks):
      blame(ranks, seconds: timeoutSeconds) + others(ranks)
    case .deadlock:
      "no rank made progress for \(Self.text(seconds: timeoutSeconds * Self.deadlockFactor)), all wait for "
        + "each other: \(groupedByPhase())"
    case .unreachable(let ranks):
      blame(ranks, seconds: timeoutSeconds * Self.unreachableFactor)
        + " (its heartbeats never arrived; is UDP between the hosts blocked?)" + others(ranks)
    }
  }

  /// Said once at the start.
  /// - Parameter pairs: ranks between which heartbeats do not pass in at least one direction, lower number
  ///   first.
  func text(ofUnheard pairs: [(Int, Int)]) -> String {
    let list = pairs.prefix(3).map { "\(name($0.0)) and \(name($0.1))" }.joined(separator: ", ")
    return
      "no heartbeats pass between \(list)\(pairs.count > 3 ? " and \(pairs.count - 3) more pairs" : ""): "
      + "is UDP between the hosts blocked? A rank that stops there is noticed only when the others have "
      + "waited for " + Self.text(seconds: timeoutSeconds * Self.unreachableFactor)
  }

  /// Said once when a rank waits long for another job.
  func text(ofWaitOutside rank: Int) -> String {
    "\(name(rank)) has waited \(Self.text(seconds: timeoutSeconds)) for another process in "
      + members[rank].reading.phase
  }

  private func name(_ rank: Int) -> String { "rank \(rank) (\(members[rank].hostName))" }

  private func blame(_ ranks: [Int], seconds: Double) -> String {
    guard let first = ranks.first else { return "" }
    return "\(name(first)) made no progress for \(Self.text(seconds: seconds)) in \(place(first))"
  }

  private func others(_ ranks: [Int]) -> String {
    guard ranks.count > 1 else { return "" }
    let list = ranks.dropFirst().prefix(4).map { "\(name($0)) in \(place($0))" }.joined(separator: ", ")
    return "; nor did \(list)\(ranks.count > 5 ? " and \(ranks.count - 5) others" : "")"
  }

  private func place(_ rank: Int) -> String {
    let reading = members[rank].reading
    return switch reading.wait {
    case .nobody: reading.phase
    case .ranks: "\(reading.phase), waiting for the other ranks"
    case .outside: "\(reading.phase), waiting for another process"
    }
  }

  /// `ranks 0, 2 in step 12; rank 1 in evaluating`, with the host of each group's first rank.
  private func groupedByPhase() -> String {
    let groups = Dictionary(grouping: members.indices) { members[$0].reading.phase }
    return groups.values.sorted { ($0.first ?? 0) < ($1.first ?? 0) }.prefix(6).map { ranks in
      let first = ranks.first ?? 0
      let more = ranks.count > 1 ? " and \(ranks.count - 1) more" : ""
      return "\(name(first))\(more) in \(members[first].reading.phase)"
    }.joined(separator: ", ")
  }

  /// `60 s`, `2.5 s`.
  static func text(seconds: Double) -> String {
    seconds == seconds.rounded() ? "\(Int(seconds)) s" : String(format: "%.1f s", seconds)
  }
}
