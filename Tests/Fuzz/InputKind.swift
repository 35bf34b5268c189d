import Foundation

/// A kind of input: valid files, of which one is damaged, and the commands that read it; or hostile arguments.
struct InputKind: Sendable {
  let name: String
  /// Files it needs, the damage, and the command.
  private let make: @Sendable (URL, inout Draw) throws -> Execution

  func execution(in folder: URL, _ draw: inout Draw) throws -> Execution { try make(folder, &draw) }

  static func all(_ valid: ValidFiles) throws -> [InputKind] {
    try models(valid) + adapters(valid) + data(valid) + runs(valid) + caches(valid) + small(valid) + arguments(valid)
      + specialFiles(valid) + texts(valid)
  }

  // MARK: Files

  /// One file of `files` is damaged by its form, then one of `commands` runs.
  private static func file(
    _ name: String, _ valid: ValidFiles, copying: [String], damaging files: [String], _ form: Form? = nil,
    expected: (file: String, contents: Data)? = nil, commands: [[String]]
  ) -> InputKind {
    precondition(!files.isEmpty, "\(name) has no files")
    return InputKind(name: name) { folder, draw in
      try valid.copy(copying, to: folder)
      let file = draw.element(of: files)
      let url = folder.appending(path: file)
      let contents = try [UInt8](Data(contentsOf: url))
      try Data(damaged(contents, form ?? Self.form(of: file), &draw)).write(to: url)
      return Execution(
        folder: folder, damage: file, arguments: draw.element(of: commands), input: Array("a good film\n".utf8),
        // Lengths and counts of layers that a file asks for may be large.
        asksForWork: ["task_settings.json", "generation_config.json", "run.yaml"].contains { file.hasSuffix($0) },
        expected: expected)
    }
  }

  @Sendable private static func form(of file: String) -> Form {
    switch URL(fileURLWithPath: file).pathExtension {
    case "json": .json
    case "jsonl": .jsonLines
    case "safetensors": .safetensors
    case "csv", "tsv", "txt", "yaml": .lines
    default: .bytes
    }
  }

  private static func train(_ model: String, _ more: String...) -> [String] {
    [
      "train", "--model", model, "--task", "imdb", "--data-dir", "data", "--steps", "1", "--global-batch-size", "2",
      "--save-every",
      "0", "--eval-limit", "2", "--output", "out",
    ] + more
  }

  private static func models(_ valid: ValidFiles) -> [InputKind] {
    ["t5", "gpt2", "roberta", "bert"].flatMap { family -> [InputKind] in
      let isDecoder = family == "t5" || family == "gpt2"
      let use =
        isDecoder
        ? ["generate", "--model", family, "--max-new-tokens", "3"] : ["classify", "--model", family, "a good film"]
      let commands = [["inspect", family], use, use, train(family), train(family, "--method", "lora")]
      let all = valid.files(below: family)
      let weights = all.filter { $0.hasSuffix("safetensors") }
      let settings = all.filter { $0.hasSuffix("config.json") && !$0.hasSuffix("tokenizer_config.json") }
      let tokenizer = all.filter { !weights.contains($0) && !settings.contains($0) }
      return [
        file("\(family) weights", valid, copying: [family, "data"], damaging: weights, commands: commands),
        file("\(family) settings", valid, copying: [family, "data"], damaging: settings, commands: commands),
        file(
          "\(family) tokenizer", valid, copying: [family, "data"], damaging: tokenizer,
          commands: [use, use, train(family)]),
      ]
    }
  }

  private static func adapters(_ valid: ValidFiles) -> [InputKind] {
    ValidFiles.runs.filter { $0.name != "full" }.map { run in
      let folder = "\(run.name)-run/adapter"
      let isDecoder = run.model == "t5" || run.model == "gpt2"
      let use =
        isDecoder
        ? ["generate", "--model", run.model, "--adapter", folder, "--max-new-tokens", "3"]
        : ["classify", "--model", run.model, "--adapter", folder, "a good film"]
      var commands = [
        use, use, ["inspect", folder],
        ["evaluate", "--model", run.model, "--adapter", folder, "--data-dir", "data", "--eval-limit", "2"],
      ]
      // BitFit's adapter is a LoRA with biases alone, for PEFT knows no other form.
      if run.name != "bitfit" {
        commands.append(train(run.model, "--method", run.arguments[1], "--init-adapter", folder))
      }
      if ["lora", "ia3", "bitfit", "dora"].contains(run.name) {
        commands.append(["merge", "--model", run.model, "--adapter", folder, "--output", "merged"])
      }
      if ["prompt", "ptuning"].contains(run.name) { commands.append(["convert-prompt", folder, "--output", "p.npy"]) }
      return file(
        "\(run.name) adapter", valid, copying: [run.model, "data", "\(run.name)-run"],
        damaging: valid.files(below: folder),
        commands: commands)
    }
  }

  private static func data(_ valid: ValidFiles) -> [InputKind] {
    let sets = [
      ("reviews", "data", "imdb"), ("pairs", "pairs", "pair"), ("numbers", "numbers", "regression"),
      ("summaries", "summaries", "cnn_dailymail"), ("corpus", "corpus", "corpus"),
    ]
    return sets.map { name, folder, task in
      let base = [
        "--task", task, "--data-dir", folder, "--steps", "1", "--global-batch-size", "2", "--save-every", "0",
        "--max-source-length",
        "32", "--max-target-length", "32", "--output", "out",
      ]
      let model = task == "regression" ? "bert" : "t5"
      var commands = [["train", "--model", model] + base + (model == "bert" ? ["--ignore-mismatched-head"] : [])]
      if task == "pair" { commands.append(["train", "--model", "roberta"] + base) }
      if task == "cnn_dailymail" { commands.append(["train", "--model", "gpt2", "--method", "lora"] + base) }
      return file(
        "\(name) data", valid, copying: [model, "roberta", "gpt2", folder], damaging: valid.files(below: folder),
        commands: commands)
    }
  }

  // MARK: Runs and caches

  private static func runs(_ valid: ValidFiles) -> [InputKind] {
    let resume = [
      "train", "--model", "t5", "--task", "imdb", "--data-dir", "data", "--steps", "3", "--global-batch-size", "4",
      "--eval-every",
      "1", "--save-every", "1", "--max-source-length", "64", "--method", "lora", "--resume", "--output", "lora-run",
    ]
    let all = valid.files(below: "lora-run")
    let records = all.filter { !$0.contains("/adapter/") && !$0.contains("/checkpoints/") }
    return [
      file(
        "checkpoint", valid, copying: ["t5", "data", "lora-run"], damaging: all.filter { $0.contains("/checkpoints/") },
        commands: [resume, resume, ["inspect", "lora-run/checkpoints/step-000002"], ["diff", "lora-run", "lora-run"]]),
      file(
        "records of a run", valid, copying: ["t5", "data", "lora-run", "prompt-run"], damaging: records,
        commands: [
          resume, ["report", "lora-run", "prompt-run", "--output", "page"], ["report", "lora-run", "--output", "page"],
          ["inspect", "lora-run"], ["diff", "lora-run", "lora-run"], ["verify", "lora-run", "--steps", "1..2"],
          train("t5", "--config", "lora-run/run.yaml"),
        ]),
    ]
  }

  private static func caches(_ valid: ValidFiles) throws -> [InputKind] {
    let command = [
      "train", "--model", "gpt2", "--task", "imdb", "--data-dir", "data", "--method", "lora", "--epochs", "3",
      "--global-batch-size",
      "4", "--eval-every", "0", "--save-every", "0", "--max-source-length", "64", "--layers-to-transform", "0",
      "--output",
    ]
    let adapter = "adapter/adapter_model.safetensors"
    let contents = try valid.result(command + ["cached"], file: "cached/\(adapter)")
    return [
      file(
        "caches", valid, copying: ["gpt2", "data", "cache"], damaging: valid.files(below: "cache"), .bytes,
        expected: ("out/\(adapter)", contents), commands: [command + ["out"]]),
      file(
        "config file", valid, copying: ["t5", "data", "lora-run"], damaging: ["lora-run/run.yaml"],
        commands: [
          train("t5", "--config", "lora-run/run.yaml")
        ]),
    ]
  }

  private static func small(_ valid: ValidFiles) throws -> [InputKind] {
    _ = try valid.result(["convert-prompt", "prompt-run/adapter", "--output", "prompt.npy"], file: "prompt.npy")
    return [
      file(
        "NumPy array", valid, copying: ["t5", "data", "prompt.npy"], damaging: ["prompt.npy"], .bytes,
        commands: [
          ["convert-prompt", "prompt.npy", "--model", "t5", "--output", "made"],
          train(
            "t5", "--method", "prompt-tuning", "--virtual-tokens", "3", "--prompt-init", "file", "--prompt-init-file",
            "prompt.npy"),
        ]),
      file(
        "grammar", valid, copying: ["grammar.txt"], damaging: ["grammar.txt"], .lines,
        commands: [
          [
            "make-reviews", "--grammar", "grammar.txt", "--train", "4", "--validation", "2", "--test", "2", "--output",
            "out",
          ]
        ]),
      file(
        "text for a tokenizer", valid, copying: ["corpus"], damaging: ["corpus/train.jsonl"],
        commands: [
          [
            "train-tokenizer", "--family", "t5", "--vocab-size", "40", "--extra-ids", "4", "--input",
            "corpus/train.jsonl", "--output", "out",
          ],
          [
            "train-tokenizer", "--family", "gpt2", "--vocab-size", "300", "--input", "corpus/train.jsonl", "--output",
            "out",
          ],
        ]),
    ]
  }

  // MARK: Arguments

  /// Commands whose options take numbers and texts.
  private static let options: [(command: [String], files: [String], options: [String])] = [
    (
      train("t5"), ["t5", "data"],
      [
        "--max-source-length", "--max-target-length", "--validation-fraction", "--leaf-tokens", "--threads-per-rank",
        "--global-batch-size", "--epochs", "--steps", "--learning-rate", "--warmup-steps", "--weight-decay",
        "--max-grad-norm",
        "--dropout", "--seed", "--eval-every", "--eval-limit", "--log-every", "--save-every", "--keep-checkpoints",
        "--activation-cache", "--virtual-tokens", "--num-beams", "--min-new-tokens", "--stall-timeout-seconds",
        "--precision",
        "--schedule", "--optimizer", "--label-names", "--prompt-init", "--preset", "--learning-rate-of", "--method",
        "--loss-scale", "--initial-loss-scale", "--loss-scale-window", "--non-finite", "--length-penalty", "--stop",
        "--no-repeat-ngram-size", "--repetition-penalty", "--suppress-tokens", "--bad-words-ids",
        "--forced-bos-token-id",
        "--task", "--train-file", "--eval-file", "--cache-dir", "--output", "--model", "--config",
      ]
    ),
    (
      train("t5", "--method", "lora"), ["t5", "data"],
      [
        "--lora-r", "--lora-alpha", "--lora-dropout", "--target-modules", "--lora-bias", "--lora-rank-pattern",
        "--lora-alpha-pattern", "--modules-to-save", "--lora-init", "--lora-plus-ratio", "--layers-to-transform",
        "--layers-pattern",
      ]
    ),
    (
      train("t5", "--method", "adapter"), ["t5", "data"],
      ["--reduction-factor", "--non-linearity", "--adapter-placement"]
    ),
    (
      train("roberta", "--method", "p-tuning"), ["roberta", "data"],
      ["--virtual-tokens", "--encoder-hidden-size", "--encoder-layers", "--prompt-encoder"]
    ),
    (
      train("roberta", "--method", "p-tuning-template", "--prompt-template", "[P3] {text} [P2] sentiment ?"),
      ["roberta", "data"], ["--prompt-template"]
    ),
    (
      ["train", "--model", "t5", "--task", "corpus", "--data-dir", "corpus", "--steps", "1", "--output", "out"],
      ["t5", "corpus"],
      ["--noise-density", "--mean-span-length"]
    ),
    (
      ["generate", "--model", "t5"], ["t5"],
      [
        "--max-source-length", "--max-new-tokens", "--max-length", "--num-return-sequences", "--seed",
        "--threads-per-rank",
        "--num-beams", "--length-penalty", "--min-new-tokens", "--min-length", "--no-repeat-ngram-size",
        "--repetition-penalty",
        "--temperature", "--top-k", "--top-p", "--min-p", "--suppress-tokens", "--begin-suppress-tokens",
        "--bad-words-ids",
        "--forced-bos-token-id", "--forced-eos-token-id", "--stop", "--early-stopping", "--input", "--output",
        "--adapter",
      ]
    ),
    (
      ["generate", "--model", "gpt2", "--do-sample"], ["gpt2"],
      ["--temperature", "--top-k", "--top-p", "--min-p", "--seed", "--max-new-tokens"]
    ),
    (
      [
        "init-model", "--family", "t5", "--vocab-size", "40", "--hidden-size", "16", "--layers", "1", "--heads", "2",
        "--output", "out",
      ],
      [],
      [
        "--vocab-size", "--hidden-size", "--layers", "--heads", "--feed-forward-size", "--decoder-layers",
        "--head-width",
        "--max-positions", "--num-labels", "--dropout", "--seed", "--family", "--dtype", "--tokenizer",
      ]
    ),
    (
      ["train-tokenizer", "--vocab-size", "40", "--input", "corpus/train.jsonl", "--output", "out"], ["corpus"],
      ["--vocab-size", "--extra-ids", "--character-coverage", "--max-texts", "--seed", "--column", "--family"]
    ),
    (
      ["evaluate", "--model", "t5", "--adapter", "lora-run/adapter", "--data-dir", "data"], ["t5", "data", "lora-run"],
      [
        "--eval-limit", "--seed", "--max-source-length", "--max-target-length", "--label-names", "--num-beams",
        "--task",
        "--data-file", "--predictions",
      ]
    ),
    (["verify", "lora-run", "--steps", "1..2"], ["t5", "data", "lora-run"], ["--steps", "--threads-per-rank"]),
    (
      [
        "sweep", "--model", "t5", "--task", "imdb", "--data-dir", "data", "--method", "prompt-tuning", "--steps", "2",
        "--learning-rates", "0.1", "--output", "out",
      ], ["t5", "data"], ["--learning-rates", "--seeds", "--virtual-token-counts", "--prompt-inits", "--trials"]
    ),
    (["report", "lora-run", "--output", "page"], ["lora-run"], ["--metric", "--x-axis", "--output"]),
    (
      [
        "bench", "--model", "t5", "--data-file", "data/train.jsonl", "--steps", "1", "--warmup", "0",
        "--global-batch-size", "2",
      ],
      ["t5", "data"],
      [
        "--steps", "--warmup", "--global-batch-size", "--max-source-length", "--max-target-length", "--leaf-tokens",
        "--shape",
      ]
    ),
  ]

  /// Options of which a large number asks for much work.
  private static let lengths = [
    "--max-new-tokens", "--max-length", "--min-new-tokens", "--min-length", "--max-target-length",
    "--max-source-length", "--epochs",
    "--steps", "--virtual-tokens", "--virtual-token-counts", "--hidden-size", "--layers", "--decoder-layers",
    "--feed-forward-size",
    "--head-width", "--vocab-size", "--extra-ids", "--encoder-layers", "--encoder-hidden-size", "--lora-r",
    "--num-return-sequences", "--num-beams", "--warmup", "--seeds", "--trials",
  ]

  private static func arguments(_ valid: ValidFiles) -> [InputKind] {
    let environment = InputKind(name: "environment") { folder, draw in
      try valid.copy(["t5", "data"], to: folder)
      let variables = [
        "PEFT_DIST_KERNELS", "PEFT_DIST_FAULT", "PEFT_DIST_GEMM", "PEFT_DIST_CACHE", "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "XDG_CACHE_HOME", "HOME", "TMPDIR", "COLUMNS", "LANG", "LC_ALL", "PATH",
      ]
      let name = draw.element(of: variables)
      let value = (draw.chance(50) ? draw.element(of: Hostile.numbers) : Hostile.text(&draw)).filter { $0 != "\0" }
      return Execution(
        folder: folder, damage: "\(name)=\(value)", arguments: train("t5"),
        environment: [name: String(value.prefix(20_000))])
    }
    let flags = options.map { base in
      InputKind(name: "flags of \(base.command[0])") { folder, draw in
        try valid.copy(base.files, to: folder)
        var command = base.command
        var damage: [String] = []
        for _ in 0..<(draw.isHarmless ? 0 : draw.chance(75) ? 1 : 2) {
          let option = draw.element(of: base.options)
          let value = String((draw.chance(70) ? draw.element(of: Hostile.numbers) : Hostile.text(&draw)).prefix(20_000))
          if let place = command.firstIndex(of: option) { command.removeSubrange(place...place + 1) }
          command.append("\(option)=\(value.filter { $0 != "\0" })")
          damage.append(option)
        }
        return Execution(
          folder: folder, damage: damage.joined(separator: " "), arguments: command,
          input: Array("a good film\n\n".utf8), asksForWork: damage.contains(where: lengths.contains))
      }
    }
    return [environment] + flags
  }

  /// A file that is none: a folder, a pipe, a device, a link to nowhere, gigabytes of nothing.
  private static func specialFiles(_ valid: ValidFiles) -> [InputKind] {
    let uses: [([String], [String])] = [
      (["t5", "data"], train("t5")), (["t5"], ["generate", "--model", "t5"]),
      (["roberta"], ["classify", "--model", "roberta", "a film"]),
      (["gpt2", "data"], train("gpt2", "--method", "lora")), (["bert", "data"], train("bert", "--method", "lora")),
      (
        ["t5", "data", "lora-run"],
        ["evaluate", "--model", "t5", "--adapter", "lora-run/adapter", "--data-dir", "data"]
      ),
      (["lora-run"], ["report", "lora-run", "--output", "page"]), (["lora-run"], ["inspect", "lora-run"]),
      (["t5", "data", "lora-run"], train("t5", "--config", "lora-run/run.yaml")),
      (
        ["t5", "data", "lora-run"],
        ["train", "--model", "t5", "--config", "lora-run/run.yaml", "--resume", "--output", "lora-run", "--steps", "3"]
      ),
      (["t5", "prompt.npy"], ["convert-prompt", "prompt.npy", "--model", "t5", "--output", "made"]),
      (
        ["grammar.txt"],
        [
          "make-reviews", "--grammar", "grammar.txt", "--train", "4", "--validation", "2", "--test", "2", "--output",
          "out",
        ]
      ),
    ]
    return [
      InputKind(name: "special files") { folder, draw in
        let (copied, command) = draw.element(of: uses)
        try valid.copy(copied, to: folder)
        let file = draw.element(of: copied.flatMap { valid.files(below: $0) })
        let path = folder.appending(path: file).path
        let what =
          draw.isHarmless
          ? "unharmed"
          : draw.element(of: [
            "folder", "pipe", "/dev/zero", "/dev/null", "/dev/urandom", "nowhere", "itself", "sparse", "empty",
            "missing",
          ])
        if !draw.isHarmless { unlink(path) }
        switch what {
        case "folder": mkdir(path, 0o755)
        case "pipe": mkfifo(path, 0o644)
        case "nowhere": symlink("/nowhere/at/all", path)
        case "itself": symlink(URL(fileURLWithPath: path).lastPathComponent, path)
        case "sparse":
          let descriptor = open(path, O_CREAT | O_WRONLY, 0o644)
          // More than any machine has memory for, though the limit on files of this driver is smaller.
          if ftruncate(descriptor, 400 << 20) != 0 { throw POSIXError(.EFBIG) }
          close(descriptor)
        case "empty": close(open(path, O_CREAT | O_WRONLY, 0o644))
        case "missing", "unharmed": break
        default: symlink(what, path)
        }
        return Execution(folder: folder, damage: "\(file): \(what)", arguments: command, input: Array("a film\n".utf8))
      }
    ]
  }

  /// What was a finding once: folders with `arguments` (a line each), `needs` (valid files, a line each), `input` and `variable`
  /// where there are any, and `files`, which take the place of valid ones. Replayed before anything is drawn.
  static func corpus(_ valid: ValidFiles, at folder: URL) throws -> [InputKind] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { name in
      let entry = folder.appending(path: name)
      @Sendable func lines(_ name: String) throws -> [String] {
        let file = entry.appending(path: name)
        guard FileManager.default.fileExists(atPath: file.path) else { return [] }
        return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
      }
      return InputKind(name: "corpus: \(name)") { place, _ in
        try valid.copy(lines("needs"), to: place)
        let files = entry.appending(path: "files")
        for path in FileManager.default.subpaths(atPath: files.path) ?? [] {
          guard let contents = try? Data(contentsOf: files.appending(path: path)) else { continue }
          let copy = place.appending(path: path)
          try FileManager.default.createDirectory(
            at: copy.deletingLastPathComponent(), withIntermediateDirectories: true)
          try contents.write(to: copy)
        }
        let variables = try lines("variable").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
        return Execution(
          folder: place, damage: name, arguments: try lines("arguments"),
          input: (try? [UInt8](Data(contentsOf: entry.appending(path: "input")))) ?? [],
          environment: Dictionary(variables.map { ($0[0], $0[1]) }) { $1 })
      }
    }
  }

  // MARK: Texts

  private static func texts(_ valid: ValidFiles) -> [InputKind] {
    let commands: [([String], [String])] = [
      (
        ["t5"],
        [
          "generate", "--model", "t5", "--max-new-tokens", "8", "--stop", "aaaa", "--no-repeat-ngram-size", "2",
          "--num-beams", "2",
        ]
      ),
      (["gpt2"], ["generate", "--model", "gpt2", "--max-new-tokens", "40", "--no-repeat-ngram-size", "1"]),
      (["t5", "lora-run"], ["generate", "--model", "t5", "--adapter", "lora-run/adapter"]),
    ]
    return [
      InputKind(name: "texts to answer") { folder, draw in
        let (copied, command) = draw.element(of: commands)
        try valid.copy(copied, to: folder)
        let text = (0..<draw.element(of: [1, 3, 20])).map { _ in Hostile.text(&draw) }.joined(separator: "\n")
        let bytes = draw.chance(30) ? damaged(Array(text.utf8), .bytes, &draw) : Array(text.utf8)
        return Execution(folder: folder, damage: "standard input", arguments: command, input: bytes)
      },
      InputKind(name: "texts to classify") { folder, draw in
        let family = draw.element(of: ["roberta", "bert"])
        try valid.copy([family], to: folder)
        let text = String(Hostile.text(&draw).filter { $0 != "\0" }.prefix(60_000))
        return Execution(folder: folder, damage: "an argument", arguments: ["classify", "--model", family, "--", text])
      },
      InputKind(name: "texts to summarize") { folder, draw in
        try valid.copy(["t5"], to: folder)
        try FileManager.default.createDirectory(at: folder.appending(path: "s"), withIntermediateDirectories: true)
        for part in ["train", "validation", "test"] {
          let rows = try (0..<4).map { _ in
            try JSONEncoder().encode(["article": Hostile.text(&draw), "highlights": Hostile.text(&draw)])
          }
          try Data(rows.joined(separator: [0x0A])).write(to: folder.appending(path: "s/\(part).jsonl"))
        }
        return Execution(
          folder: folder, damage: "stress texts",
          arguments: [
            "train", "--model", "t5", "--task", "cnn_dailymail", "--data-dir", "s", "--steps", "1",
            "--global-batch-size", "2",
            "--save-every", "0", "--output", "out",
          ])
      },
    ]
  }
}
