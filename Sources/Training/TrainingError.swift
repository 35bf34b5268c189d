import Diagnostics

/// What can end a training or evaluation.
public enum TrainingError: DescribedError, Equatable {
  case nonFinite(step: Int, examples: [String])
  case changedSettings([String])
  case identityDiffers(checkpoint: String, now: String)
  case ranksDiffer(what: String, values: [String])
  case runExists(folder: String)
  case otherRun(folder: String, reason: String)
  case tooFewExamples(examples: Int, ranks: Int, source: String)
  case noExamples(source: String)
  case unfitCheckpoint(path: String, reason: String)

  public var description: String {
    switch self {
    case .nonFinite(let step, let examples):
      "step \(step): the loss or a gradient is infinite or not a number (NaN), in the leaf of examples "
        + "\(examples.joined(separator: "; ")); the last checkpoint is kept. Lower --learning-rate, set --max-grad-norm, "
        + "or look at these examples"
    case .changedSettings(let changes):
      "this run cannot be resumed with other settings, as the result would be neither run's:\n  "
        + changes.joined(separator: "\n  ") + "\nresume with the settings of its run.yaml, or start afresh in another --output"
    case .identityDiffers(let checkpoint, let now):
      "this machine computes other bits than the one the checkpoint comes from:\n  checkpoint: \(checkpoint)\n"
        + "  now:        \(now)\nresume on a machine of the same kind, or start afresh in another --output"
    case .ranksDiffer(let what, let values):
      "the ranks of this job differ in \(what), so their results would not add up:\n  "
        + values.joined(separator: "\n  ")
    case .runExists(let folder):
      "the output folder \(folder) holds a run already; continue it with --resume, or choose another --output"
    case .otherRun(let folder, let reason):
      "the output folder \(folder) is not that of a training run: \(reason); choose another --output"
    case .tooFewExamples(let examples, let ranks, let source):
      "\(source) has \(examples) training examples for \(ranks) ranks; start at most \(examples) ranks, or give more data"
    case .noExamples(let source):
      "\(source) leaves no example to train on; lower --validation-fraction or give more data"
    case .unfitCheckpoint(let path, let reason):
      "the checkpoint \(path) does not fit this run: \(reason)"
    }
  }
}
