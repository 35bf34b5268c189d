import Checkpoints
import Diagnostics
import Foundation

/// What a report tells of one run: facts of its `summary.json`, and the course of its `metrics.jsonl`.
///
/// Facts that an older run did not write are nil.
public struct RunRecord: Sendable, Equatable {
  /// One look at the validation data.
  public struct Evaluation: Sendable, Equatable {
    public var step: Int
    public var epoch: Double
    /// Time of all steps until then, without evaluations.
    public var trainingSeconds: Double?
    /// Mean over the logged ones of the steps since the evaluation before; nil if none was logged.
    public var trainingLoss: Double?
    public var loss: Double?
    /// Of the task's metric.
    public var value: Double?

    public init(
      step: Int, epoch: Double, trainingSeconds: Double? = nil, trainingLoss: Double? = nil, loss: Double? = nil,
      value: Double? = nil
    ) {
      (self.step, self.epoch, self.trainingSeconds) = (step, epoch, trainingSeconds)
      (self.trainingLoss, self.loss, self.value) = (trainingLoss, loss, value)
    }
  }

  public var name: String
  public var isFinished = false
  public var model: String?
  public var task: String?
  public var method: String?
  public var learningRate: String?
  public var metric: String?
  public var largerIsBetter = true
  public var steps: Int?
  public var globalBatchSize: Int?
  public var trainableParameters: Int?
  /// Trained values divided by those of the base.
  public var trainableShare: Double?
  public var adapterBytes: Int?
  public var adapterSHA256: String?
  public var bestStep: Int?
  public var bestValue: Double?
  public var testValue: Double?
  public var secondsPerEpoch: Double?
  public var trainingSeconds: Double?
  /// Of each rank.
  public var peakMegabytes: [Int] = []
  public var ranks: Int?
  public var threadsPerRank: Int?
  public var evaluations: [Evaluation] = []
  /// For the evaluations of older runs, whose lines do not name the epoch.
  private var stepsPerEpoch: Double?

  public init(name: String) { self.name = name }

  /// Reads a run folder.
  ///
  /// - Parameter metric: the task's, where no summary says it yet.
  /// - Throws: `ReportError.noRun` if it holds none; `CheckpointError` where a file of it is damaged.
  public init(folder: URL, name: String, metric known: String? = nil) throws {
    self.init(name: name)
    metric = known
    let summary = folder.appendingPathComponent("summary.json")
    let metrics = folder.appendingPathComponent("metrics.jsonl")
    isFinished = FileManager.default.fileExists(atPath: summary.path)
    guard isFinished || FileManager.default.fileExists(atPath: metrics.path) else {
      throw ReportError.noRun(folder: folder.path)
    }
    if isFinished { try readSummary(JSONObject(file: summary)) }
    try readMetrics(metrics)
  }

  /// A name for each of some folders: the last parts of its path, as few as set it apart from the others.
  public static func names(of folders: [URL]) -> [String] {
    let paths = folders.map { $0.path.split(separator: "/") }
    return paths.map { path in
      let counts = 1...max(path.count, 1)
      let count = counts.first { count in paths.count { $0.suffix(count) == path.suffix(count) } == 1 }
      return path.suffix(count ?? path.count).joined(separator: "/")
    }
  }

  private mutating func readSummary(_ summary: JSONObject) throws {
    model = try summary.optionalString("model")
    task = try summary.optionalString("task")
    method = try summary.optionalString("method")
    learningRate = try summary.optionalString("learning_rate")
    metric = try summary.optionalString("metric") ?? metric ?? Self.metric(in: summary)
    largerIsBetter = try summary.optionalBool("metric_larger_is_better") ?? (metric != "loss")
    steps = try summary.optionalInt("steps")
    stepsPerEpoch = try summary.optionalDouble("steps_per_epoch")
    globalBatchSize = try summary.optionalInt("global_batch_size")
    trainableParameters = try summary.optionalInt("trainable_parameters")
    trainableShare = try summary.optionalDouble("trainable_share")
    adapterBytes = try summary.optionalInt("adapter_bytes")
    adapterSHA256 = try summary.optionalString("adapter_sha256")
    bestStep = try summary.optionalInt("best_step")
    secondsPerEpoch = try summary.optionalDouble("seconds_per_epoch")
    trainingSeconds = try summary.optionalDouble("training_seconds")
    peakMegabytes = try summary.optionalInts("peak_rss_mb") ?? []
    ranks = try summary.optionalInt("ranks")
    threadsPerRank = try summary.optionalInt("threads_per_rank")
    guard let metric else { return }
    bestValue = try summary.optionalDouble("best_eval_\(metric)")
    testValue = try summary.optionalDouble("test_\(metric)")
  }

  /// The metric as an older summary names it: by its best value.
  private static func metric(in summary: JSONObject) -> String? {
    let prefix = "best_eval_"
    return summary.members.keys.sorted().first { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
  }

  private mutating func readMetrics(_ url: URL) throws {
    var losses: [Double] = []
    var damaged: [Int] = []
    defer {
      if !damaged.isEmpty { RunLog.warning("\(url.path), \(LineFile.sentence(damaged: damaged)) and left out") }
    }
    for line in try LineFile(url).lines {
      let origin = "\(url.path), line \(line.number)"
      guard case .object(let members)? = try? JSON.decode(line.bytes, origin: origin) else {
        // A run that is still writing has a last line that is not whole yet.
        if line.isWhole { damaged.append(line.number) }
        continue
      }
      let entry = JSONObject(members, origin: origin)
      let step = try entry.int("step")
      guard entry["eval_examples"] != nil else {
        if let epoch = try entry.optionalDouble("epoch"), epoch > 0 { stepsPerEpoch = Double(step) / epoch }
        if let loss = try entry.optionalDouble("loss") { losses.append(loss) }
        continue
      }
      evaluations.append(
        Evaluation(
          step: step, epoch: try entry.optionalDouble("epoch") ?? stepsPerEpoch.map { Double(step) / $0 } ?? 0,
          trainingSeconds: try entry.optionalDouble("training_seconds"),
          trainingLoss: losses.isEmpty ? nil : losses.reduce(0, +) / Double(losses.count),
          loss: try entry.optionalDouble("eval_loss"),
          value: try (metric ?? (entry["eval_accuracy"] == nil ? nil : "accuracy")).flatMap {
            try entry.optionalDouble("eval_\($0)")
          }))
      losses = []
    }
  }
}
