import Foundation

/// `--preset NAME`: the flags of a published recipe, or of a search written down in docs/results.md, in front of those typed.
enum Preset {
  private static let flags = published.merging(miniLM) { $1 }

  /// all-MiniLM-L6-v2 on MRPC, `minilm-mrpc-METHOD`: the rates of docs/results.md, 5 epochs, batches of 32.
  private static let miniLM: [String: [String]] = {
    let rates = [
      "lora": "3e-3", "ia3": "3e-2", "bitfit": "3e-3", "adapter": "3e-3", "prefix-tuning": "1e-2", "p-tuning": "3e-3",
      "prompt-tuning": "3e-2", "full": "1e-4",
    ]
    let flags = rates.map { method, rate in
      (
        "minilm-mrpc-\(method)",
        ["--task=mrpc", "--method=\(method)", "--learning-rate=\(rate)", "--global-batch-size=32", "--epochs=5"]
          + (method == "p-tuning" ? ["--prompt-encoder=mlp", "--encoder-hidden-size=128"] : [])
      )
    }
    return Dictionary(uniqueKeysWithValues: flags)
  }()

  private static let published: [String: [String]] = [
    // Lester, Al-Rfou, Constant 2021, §3 and appendix A: 100 tokens from class labels, Adafactor at a constant rate of 0.3
    // without parameter scaling, weight decay 1e-5, batches of 32, 30,000 steps, no clipping.
    "lester": [
      "--method=prompt-tuning", "--virtual-tokens=100", "--prompt-init=class-labels", "--optimizer=adafactor",
      "--learning-rate=0.3", "--schedule=constant", "--weight-decay=1e-5", "--global-batch-size=32", "--steps=30000",
      "--max-grad-norm=0",
    ],
    // HF PEFT's example of P-tuning for sequence classification (`task_guides/ptuning-seq-classification`): RoBERTa-large on
    // MRPC, 20 tokens from an MLP of width 128, AdamW at 1e-3, weight decay 0.01, batches of 32, 10 epochs.
    "mrpc-p-tuning": [
      "--task=mrpc", "--method=p-tuning", "--prompt-encoder=mlp", "--virtual-tokens=20", "--encoder-hidden-size=128",
      "--learning-rate=1e-3", "--weight-decay=0.01", "--global-batch-size=32", "--epochs=10",
    ],
  ]

  static var names: [String] { flags.keys.sorted() }

  /// `arguments` of `train`, or of a command that trains, with the flags of its preset in front; the preset itself stays for the record.
  static func expanded(_ arguments: [String]) -> [String] {
    guard ConfigurationFile.command(of: arguments) != nil else { return arguments }
    let name = arguments.enumerated().compactMap { index, argument -> String? in
      if argument.hasPrefix("--preset=") { return String(argument.dropFirst("--preset=".count)) }
      return argument == "--preset" && index + 1 < arguments.count ? arguments[index + 1] : nil
    }.last
    guard let name, let own = flags[name] else { return arguments }
    return [arguments[0]] + own + arguments.dropFirst()
  }
}
