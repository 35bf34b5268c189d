import Autograd
import Diagnostics

/// What can end a training or evaluation.
public enum TrainingError: DescribedError, Equatable {
  /// `examples`: numbers from 1 of the examples in the leaves concerned; `weights`: damaged ones of the base; `overflow`:
  /// where the forward pass first left the finite numbers, if it did.
  case nonFinite(
    step: Int, examples: [String], weights: [String], lossScaling: LossScaling = .unscaled,
    precision: Precision = .fp32, overflow: String? = nil)
  /// An update left the finite numbers: `parameters` are those that hold values that are not.
  case diverged(step: Int, rate: Double, parameters: [String])
  case changedSettings([String])
  case identityDiffers(checkpoint: String, now: String)
  case ranksDiffer(what: String, values: [String], remedy: String? = nil)
  case runExists(folder: String)
  case otherRun(folder: String, reason: String)
  case tooFewExamples(examples: Int, ranks: Int, source: String)
  case noExamples(source: String)
  /// Positions that the model has, and what a sequence needs of them.
  case tooLong(option: String, value: Int, most: Int, positions: Int, virtual: Int, target: Int)
  /// The vocabulary lacks what the objective of pre-training puts in place of hidden tokens.
  case noObjective(tokenizer: String, expected: String)
  case unfitCheckpoint(path: String, reason: String)
  case ranksDiverged(step: Int, ranks: [String])
  case notSaved(step: Int, reason: String, last: Int?)

  public var description: String {
    switch self {
    case .nonFinite(let step, let examples, let weights, let scaling, let precision, let overflow):
      "step \(step): the loss or a gradient is infinite or not a number (NaN), "
        + (examples.isEmpty
          ? "in the sum of all leaves; "
          : "in the leaf of the training examples \(examples.joined(separator: "; ")) (counted from 1); ")
        + (weights.isEmpty
          ? Self.place(overflow, precision) + Self.wayOut(scaling)
          : "the base model is damaged, as \(Self.listed(weights)) is not finite: get its files again")
    case .diverged(let step, let rate, let parameters):
      "step \(step): the update with learning rate \(rate) has left the finite numbers, in \(Self.listed(parameters)); nothing of it "
        + "is saved. Take a smaller --learning-rate, or a longer --warmup-steps"
    case .changedSettings(let changes):
      "this run cannot be resumed with other settings, as the result would be neither run's:\n  "
        + changes.joined(separator: "\n  ")
        + "\nresume with the settings of its run.yaml, start afresh in another --output, or accept a mixed result with "
        + "--allow-changed-settings"
    case .identityDiffers(let checkpoint, let now):
      "this machine computes other bits than the one the checkpoint comes from:\n  checkpoint: \(checkpoint)\n"
        + "  now:        \(now)\nresume on a machine of the same kind, start afresh in another --output, or accept other last digits with "
        + "--allow-other-identity"
    case .ranksDiffer(let what, let values, let remedy):
      "the ranks of this job differ in \(what), so their results would not add up:\n  "
        + values.joined(separator: "\n  ") + (remedy.map { "\n\($0)" } ?? "")
    case .runExists(let folder):
      "the output folder \(folder) holds a run already; continue it with --resume, or choose another --output"
    case .otherRun(let folder, let reason):
      "the output folder \(folder) is not that of a training run: \(reason); choose another --output"
    case .tooFewExamples(let examples, let ranks, let source):
      "\(source) has \(examples) training examples for \(ranks) ranks; start at most \(examples) ranks, or give more data"
    case .tooLong(let option, let value, let most, let positions, let virtual, let target):
      "\(option) \(value) is more than the model has room for: of its \(positions) positions "
        + (virtual > 0 && option != "--virtual-tokens" ? "virtual tokens take \(virtual), " : "")
        + (target > 0 ? "targets \(target), " : "")
        + "and a source needs two; at most \(most) would fit"
    case .noExamples(let source):
      "\(source) leaves no example to train on; lower --validation-fraction or give more data"
    case .ranksDiverged(let step, let ranks):
      "after step \(step) the trained parameters are not the same on all ranks: \(ranks.joined(separator: ", ")) "
        + "computed or remembered something else, which points to a fault of memory or processor there; the "
        + "checkpoints are from before. Take that host out and go on with --resume"
    case .notSaved(let step, let reason, let last):
      "the state after step \(step) could not be saved: \(reason). "
        + (last.map { "The checkpoint after step \($0) is good; make room and go on with --resume" }
          ?? "There is no checkpoint; make room and start again")
    case .noObjective(let tokenizer, let expected):
      "the tokenizer \(tokenizer) cannot hide tokens of a text: expected \(expected), found none; take the model's own tokenizer, or "
        + "make one with train-tokenizer"
    case .unfitCheckpoint(let path, let reason):
      "the checkpoint \(path) does not fit this run: \(reason)"
    }
  }

  /// What overflowed, and the way out of fp16.
  private static func place(_ overflow: String?, _ precision: Precision) -> String {
    let found = overflow.map { "the forward pass leaves the finite numbers at \($0)" }
    guard precision == .fp16 else { return found.map { "\($0); " } ?? "" }
    return (found ?? "the forward pass is finite, so a gradient overflowed")
      + ", and fp16 ends at 65504: take --precision bf16 or fp32. Otherwise: "
  }

  /// What may help against a step that is not finite.
  private static func wayOut(_ scaling: LossScaling) -> String {
    let rest = "Lower --learning-rate, set --max-grad-norm, or look at these examples"
    return switch scaling {
    case .unscaled: "the last checkpoint is kept. \(rest)"
    case .constant(let scale):
      "the last checkpoint is kept. The loss scale of \(scale) may be too large: lower --loss-scale, or choose dynamic. "
        + "Otherwise: \(rest)"
    case .dynamic:
      "the loss scale has come down to \(LossScaling.floor), so it is not the cause, and the last checkpoint is kept. \(rest)"
    }
  }

  /// The first three names.
  /// Whether the numbers of a run have left all bounds, which is a result of its settings.
  public var isDivergence: Bool {
    switch self {
    case .nonFinite, .diverged: true
    default: false
    }
  }

  private static func listed(_ names: [String]) -> String {
    names.prefix(3).joined(separator: ", ") + (names.count > 3 ? " and \(names.count - 3) more" : "")
  }
}
