import Diagnostics

/// A comparison of runs of one task: a pure function of their records.
public struct RunReport: Sendable, Equatable {
  public let title: String
  public let runs: [RunRecord]
  /// The metric all were judged by, such as `accuracy`.
  public let metric: String
  public let largerIsBetter: Bool

  /// - Throws: `ReportError.differentMetrics`.
  public init(title: String, runs: [RunRecord]) throws {
    let metrics = runs.compactMap(\.metric)
    guard Set(metrics).count <= 1 else {
      throw ReportError.differentMetrics(runs.compactMap { run in run.metric.map { "\(run.name): \($0)" } })
    }
    self.title = title
    self.runs = runs
    metric = metrics.first ?? "accuracy"
    largerIsBetter = runs.first { $0.metric != nil }?.largerIsBetter ?? true
  }

  /// The first of those with the best value.
  public var best: RunRecord? { runs.filter { $0.bestValue != nil }.reduce(nil) { isBetter($1, than: $0) ? $1 : $0 } }

  private func isBetter(_ run: RunRecord, than other: RunRecord?) -> Bool {
    guard let value = run.bestValue, let otherValue = other?.bestValue else { return true }
    return largerIsBetter ? value > otherValue : value < otherValue
  }

  /// What all runs have in common: `t5-mini · imdb · 400 steps of 32 examples · 2 ranks x 1 thread`.
  var setting: String {
    func common<Value: Hashable>(_ values: [Value?]) -> Value? {
      let known = Set(values.compactMap(\.self))
      return known.count == 1 ? known.first : nil
    }
    var parts = [common(runs.map(\.model)), common(runs.map(\.task))].compactMap(\.self)
    if let steps = common(runs.map(\.steps)) {
      let batch = common(runs.map(\.globalBatchSize)).map { " of \($0) examples" } ?? ""
      parts.append("\(ReadableNumbers.grouped(steps)) \(steps == 1 ? "step" : "steps")\(batch)")
    }
    if let ranks = common(runs.map(\.ranks)), let threads = common(runs.map(\.threadsPerRank)) {
      parts.append(
        "\(ranks) \(ranks == 1 ? "rank" : "ranks") x \(threads) \(threads == 1 ? "thread" : "threads")")
    }
    return parts.joined(separator: " · ")
  }

  var hasTest: Bool { runs.contains { $0.testValue != nil } }
}
