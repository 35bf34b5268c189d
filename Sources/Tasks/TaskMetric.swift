/// A metric and which end of it is good.
public struct TaskMetric: Sendable, Equatable {
  /// Name in `metrics.jsonl`, after `eval_`.
  public let name: String
  public let largerIsBetter: Bool

  public static let accuracy = TaskMetric(name: "accuracy", largerIsBetter: true)
  public static let loss = TaskMetric(name: "loss", largerIsBetter: false)
  public static let rougeL = TaskMetric(name: "rougeL", largerIsBetter: true)
  public static let rougeLsum = TaskMetric(name: "rougeLsum", largerIsBetter: true)
  public static let spearman = TaskMetric(name: "spearmanr", largerIsBetter: true)

  /// Whether it is a score of answers, for which a model that writes text has to generate.
  public var needsAnswers: Bool { self != .loss }
}
