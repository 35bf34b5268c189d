import Diagnostics

/// Why no report can be made.
public enum ReportError: DescribedError, Equatable {
  /// The folder holds no run.
  case noRun(folder: String)
  /// A file of a run holds something else than it should.
  case unreadable(file: String, reason: String)
  /// The runs are of different tasks, or were judged by different metrics: which, and what each run has.
  case different(String, [String])

  public var description: String {
    switch self {
    case .noRun(let folder):
      "cannot report on \(folder): expected the output folder of a training run, with summary.json or metrics.jsonl, "
        + "found neither; check the path"
    case .unreadable(let file, let reason):
      "cannot report on \(file): \(reason)"
    case .different(let what, let lines):
      "these runs cannot stand in one report, as they have different \(what):\n  "
        + lines.joined(separator: "\n  ") + "\nreport on runs of one task"
    }
  }
}
