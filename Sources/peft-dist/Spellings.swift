import ArgumentParser

/// Options as other programs spell them: of Hugging Face's Trainer and PEFT, of torchrun, and with underscores.
enum Spellings {
  /// Option here, by its usual names elsewhere.
  private static let known: [String: [String]] = [
    "--model": [
      "model-name-or-path", "model-name", "model-path", "base-model", "pretrained-model-name-or-path", "checkpoint",
    ],
    "--learning-rate": ["lr"],
    "--global-batch-size (the examples of one step, over all ranks)": [
      "batch-size", "bs", "per-device-train-batch-size", "per-gpu-train-batch-size", "train-batch-size",
      "micro-batch-size",
      "gradient-accumulation-steps",
    ],
    "--epochs": ["num-train-epochs", "num-epochs", "n-epochs", "epoch"],
    "--steps": ["max-steps", "num-steps", "total-steps", "max-train-steps", "num-training-steps"],
    "--output": ["output-dir", "out", "out-dir", "save-dir", "output-path"],
    "--eval-every": ["eval-steps", "eval-interval", "evaluation-strategy", "eval-strategy"],
    "--save-every": ["save-steps", "save-interval", "save-strategy", "checkpointing-steps"],
    "--log-every": ["logging-steps", "log-interval"],
    "--keep-checkpoints": ["save-total-limit"],
    "--warmup-steps": ["warmup-ratio", "num-warmup-steps", "lr-warmup-steps"],
    "--schedule": ["lr-scheduler-type", "lr-scheduler", "scheduler"],
    "--optimizer": ["optim"],
    "--max-grad-norm": ["clip-grad", "grad-clip", "gradient-clip-val"],
    "--precision fp16": ["fp16", "half"],
    "--precision bf16": ["bf16"],
    "--resume": ["resume-from-checkpoint"],
    "--max-source-length": ["max-seq-length", "max-input-length", "block-size", "max-seq-len"],
    "--max-target-length": ["generation-max-length", "val-max-target-length"],
    "--data-dir, --train-file or --eval-file": ["dataset", "dataset-name", "data", "data-path"],
    "--eval-file": ["validation-file", "eval-data", "dev-file"],
    "--task": ["task-name"],
    "--method": ["peft-type", "peft-method", "tuning-method"],
    "--lora-r": ["r", "rank", "lora-rank"],
    "--virtual-tokens": ["num-virtual-tokens", "prompt-length", "prefix-length", "num-prompt-tokens"],
    "--adapter": ["peft-model-id", "adapter-name-or-path", "adapter-path"],
    "--threads-per-rank": ["num-threads", "num-workers", "dataloader-num-workers"],
    "./launch.sh -n RANKS or mpirun -n RANKS in front of the command": [
      "nproc-per-node", "nproc", "nnodes", "num-processes",
    ],
  ]

  /// Commands whose like other programs have.
  private static let commands = ["train", "compare", "sweep", "evaluate", "generate", "classify"]

  /// `arguments` with dashes for underscores in names of options, and numbers below zero tied to their option, which would look
  /// like one.
  ///
  /// - Throws: `ValidationError` for a name that another program has for an option here.
  static func understood(_ arguments: [String]) throws -> [String] {
    var result: [String] = []
    for (position, argument) in arguments.enumerated() {
      if argument == "--" { return result + arguments[position...] }
      if let last = result.last, last.hasPrefix("--"), !last.contains("="), isNegativeNumber(argument) {
        result[result.count - 1] = "\(last)=\(argument)"
        continue
      }
      guard argument.hasPrefix("--") else {
        result.append(argument)
        continue
      }
      let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = parts[0].dropFirst(2).replacing("_", with: "-")
      if commands.contains(arguments.first ?? ""),
        let own = known.first(where: { $0.value.contains(String(name)) })?.key
      {
        throw ValidationError("Unknown option '\(parts[0])': here it is \(own)")
      }
      result.append((["--" + name] + parts.dropFirst().map(String.init)).joined(separator: "="))
    }
    return result
  }

  private static func isNegativeNumber(_ text: String) -> Bool {
    text.hasPrefix("-") && text.dropFirst().first.map { $0.isNumber || $0 == "." } == true && Double(text) != nil
  }
}
