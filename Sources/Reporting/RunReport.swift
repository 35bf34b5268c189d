import Diagnostics

/// A comparison of runs of one task: a pure function of their records.
public struct RunReport: Sendable, Equatable {
  public let title: String
  public let runs: [RunRecord]
  /// The metric all were judged by, such as `accuracy`.
  public let metric: String
  public let largerIsBetter: Bool

  /// - Throws: `ReportError.different`.
  public init(title: String, runs: [RunRecord]) throws {
    _ = try Self.common(runs, "tasks", \.task)
    metric = try Self.common(runs, "metrics", \.metric) ?? "accuracy"
    self.title = title
    self.runs = runs
    largerIsBetter = runs.first { $0.metric != nil }?.largerIsBetter ?? true
  }

  /// What all runs have in common that say it.
  private static func common(_ runs: [RunRecord], _ what: String, _ fact: (RunRecord) -> String?) throws -> String? {
    let facts = Set(runs.compactMap(fact))
    guard facts.count <= 1 else {
      throw ReportError.different(what, runs.compactMap { run in fact(run).map { "\(run.name): \($0)" } })
    }
    return facts.first
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
