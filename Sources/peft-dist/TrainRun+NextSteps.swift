import Diagnostics
import Foundation
import NN
import Tasks

extension TrainRun {
  /// Says what can be done with the result, as commands to copy.
  func suggestNextSteps() {
    // Who started the program by a script types that again.
    let program = ProcessInfo.processInfo.environment["PEFT_DIST_LAUNCHER"] ?? "peft-dist"
    let adapter = "\(flags.output)/adapter"
    let isFull = flags.method.method == "full"
    let result =
      isFull ? ["--model", adapter] : ["--model", flags.model.model, "--adapter", adapter]
    let isPair = ((try? task.columns(at: trainLocation)) ?? []).count > 1
    var suggestions: [(what: String, words: [String])] = []
    switch place.model.description.kind {
    case .encoderDecoder, .decoder:
      suggestions.append(
        (
          isPair
            ? "its answers to texts of yours, two a line with a tab between them"
            : "its answers to texts of yours, one a line", ["generate"] + result
        ))
    case .classifier:
      suggestions.append(
        (
          isPair ? "what it says to two texts of yours" : "what it says to a text of yours",
          ["classify"] + result + (isPair ? ["a text", "another"] : ["a text"])
        ))
    case .maskedTokens: break
    }
    suggestions.append(
      ("curves of this run as a page", ["report", flags.output, "--output", "\(flags.output)-report"]))
    let methods = ["prompt-tuning", "lora", "adapter", "full"]
    // After pre-training nobody looks for another way to do it.
    if task.metrics != .tokens {
      suggestions.append(
        (
          "other methods on the same data and budget, side by side",
          ["compare", "--methods", methods.joined(separator: ","), "--model", flags.model.model] + dataAndBudget
            + ["--output", "\(flags.output)-compared"]
        ))
    }
    RunLog.notice("what to try next:")
    for (what, words) in suggestions {
      RunLog.notice("  \(what):\n    \(([program] + words).map(Self.quoted).joined(separator: " "))")
    }
  }

  /// The flags of this run that another method has in common with it.
  private var dataAndBudget: [String] {
    let data = flags.data
    let values: [(flag: String, value: String?)] = [
      ("--task", data.task), ("--data-dir", data.dataDir), ("--train-file", flags.trainFile),
      ("--eval-file", flags.evalFile), ("--test-file", flags.testFile), ("--label-names", data.labelNames),
      ("--max-source-length", data.maxSourceLength.map(String.init)),
      ("--max-target-length", data.maxTargetLength.map(String.init)),
      ("--global-batch-size", "\(flags.globalBatchSize)"),
      flags.steps.map { ("--steps", "\($0)") } ?? ("--epochs", "\(flags.epochs)"),
      ("--precision", flags.leaf.arithmetic == .fp32 ? nil : flags.leaf.precision),
      ("--eval-limit", flags.evalLimit.map(String.init)), ("--eval-every", flags.evalEvery.map(String.init)),
      ("--validation-fraction", flags.validationFraction == 0.05 ? nil : "\(flags.validationFraction)"),
      ("--seed", flags.seed == 42 ? nil : "\(flags.seed)"),
      ("--optimizer", flags.optimizer == "adamw" ? nil : flags.optimizer),
      ("--schedule", flags.schedule == "linear" ? nil : flags.schedule),
      ("--warmup-steps", flags.warmupSteps == 0 ? nil : "\(flags.warmupSteps)"),
      ("--weight-decay", flags.weightDecay == 0.01 ? nil : "\(flags.weightDecay)"),
      ("--max-grad-norm", flags.maxGradNorm == 1 ? nil : "\(flags.maxGradNorm)"),
      ("--dropout", flags.dropout.map { "\($0)" }),
    ]
    return values.flatMap { flag, value in value.map { [flag, $0] } ?? [] }
      + (data.lowercase ? ["--lowercase"] : []) + (data.stripHtml ? ["--strip-html"] : [])
  }

  /// A word as a shell reads it back.
  private static func quoted(_ word: String) -> String {
    let plain = word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./,=+:@".contains($0)) }
    return plain && !word.isEmpty ? word : "'" + word.replacing("'", with: "'\\''") + "'"
  }
}
