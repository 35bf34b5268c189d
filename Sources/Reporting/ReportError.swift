import Diagnostics

/// Why no report can be made.
public enum ReportError: DescribedError, Equatable {
  /// The folder holds no run.
  case noRun(folder: String)
  /// A file of a run holds something else than it should.
  case unreadable(file: String, reason: String)
  /// The runs were judged by different metrics.
  case differentMetrics([String])

  public var description: String {
    switch self {
    case .noRun(let folder):
      "cannot report on \(folder): expected the output folder of a training run, with summary.json or metrics.jsonl, "
        + "found neither; check the path"
    case .unreadable(let file, let reason):
      "cannot report on \(file): \(reason)"
    case .differentMetrics(let lines):
      "these runs cannot stand in one report, as they were judged by different metrics:\n  "
        + lines.joined(separator: "\n  ") + "\nreport on runs of one task"
    }
  }
}
