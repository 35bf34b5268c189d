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
    var suggestions: [(what: String, words: [String])] = []
    switch place.model.description.kind {
    case .encoderDecoder, .decoder:
      suggestions.append(("its answers to texts of yours, one a line", ["generate"] + result))
    case .classifier:
      suggestions.append(("what it says to a text of yours", ["classify"] + result + ["a text"]))
    case .maskedTokens: break
    }
    suggestions.append(
      ("curves of this run as a page", ["report", flags.output, "--output", "\(flags.output)-report"]))
    let methods = ["prompt-tuning", "lora", "adapter", "full"]
    suggestions.append(
      (
        "other methods on the same data and budget, side by side",
        ["compare", "--methods", methods.joined(separator: ","), "--model", flags.model.model] + dataAndBudget
          + ["--output", "\(flags.output)-compared"]
      ))
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
