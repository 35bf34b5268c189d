import Foundation

/// Small models, data, adapters and runs that nothing is wrong with, made by the program itself.
///
/// In `folder`: `t5`, `gpt2`, `roberta`, `bert` (models), `data` (reviews), `pairs`, `numbers`, `summaries`, `corpus`, `NAME-run`
/// (a run of two steps by each method), `cache`.
struct ValidFiles {
  let folder: URL
  private let program: String

  /// Methods with their model and further arguments.
  static let runs: [(name: String, model: String, arguments: [String])] = [
    ("lora", "t5", ["--method", "lora"]), ("prompt", "t5", ["--method", "prompt-tuning", "--virtual-tokens", "3"]),
    ("adapter", "t5", ["--method", "adapter", "--reduction-factor", "4"]), ("ia3", "t5", ["--method", "ia3"]),
    ("prefix", "gpt2", ["--method", "prefix-tuning", "--virtual-tokens", "3"]),
    ("ptuning", "roberta", ["--method", "p-tuning", "--virtual-tokens", "3", "--encoder-hidden-size", "8"]),
    ("full", "gpt2", ["--method", "full"]), ("bitfit", "bert", ["--method", "bitfit"]),
    ("dora", "gpt2", ["--method", "lora", "--use-dora", "--lora-rank-pattern", "c_attn=2"]),
  ]

  init(program: String, repository: URL, folder: URL) throws {
    (self.program, self.folder) = (program, folder)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let examples = repository.appending(path: "examples")
    try makeBERTVocabulary()
    for family in ["t5", "gpt2", "roberta", "bert"] {
      let tokenizer =
        family == "bert" ? folder.appending(path: "bert-vocabulary") : examples.appending(path: "\(family)-tiny")
      let size =
        family == "bert"
        ? 120
        : try JSONDecoder().decode(Size.self, from: Data(contentsOf: tokenizer.appending(path: "config.json")))
          .vocab_size
      var arguments = [
        "init-model", "--family", family, "--vocab-size", "\(size)", "--hidden-size", "16", "--layers", "1", "--heads",
        "2",
        "--tokenizer", tokenizer.path, "--output", family,
      ]
      if family != "t5" { arguments += ["--max-positions", "96"] }
      if family == "roberta" || family == "bert" { arguments += ["--num-labels", "2"] }
      try run(arguments)
    }
    try write(
      "t5/generation_config.json",
      #"{"num_beams": 2, "max_new_tokens": 5, "eos_token_id": [1], "pad_token_id": 0, "suppress_tokens": [7], "bad_words_ids": [[5, 9]]}"#
    )
    try makeData(examples)
    try FileManager.default.copyItem(
      at: examples.appending(path: "reviews/grammar.txt"), to: folder.appending(path: "grammar.txt"))
    for run in Self.runs {
      try self.run(
        [
          "train", "--model", run.model, "--task", "imdb", "--data-dir", "data", "--steps", "2", "--global-batch-size",
          "4",
          "--eval-every", "1", "--save-every", "1", "--max-source-length", "64", "--output", "\(run.name)-run",
        ] + run.arguments)
    }
  }

  // transformers' name for it.
  private struct Size: Decodable { let vocab_size: Int }

  private func makeBERTVocabulary() throws {
    let words =
      ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + "abcdefghijklmnopqrstuvwxyz0123456789.,!?'".map(String.init)
      + "abcdefghijklmnopqrstuvwxyz".map { "##\($0)" } + [
        "the", "film", "good", "bad", "was", "is", "and", "a##", "review",
      ]
    let rest = (words.count..<120).map { "word\($0)" }
    try write("bert-vocabulary/vocab.txt", (words + rest).joined(separator: "\n") + "\n")
    try write("bert-vocabulary/tokenizer_config.json", #"{"tokenizer_class": "BertTokenizer", "do_lower_case": true}"#)
  }

  private func makeData(_ examples: URL) throws {
    for part in ["train", "validation", "test"] {
      let text = try String(contentsOf: examples.appending(path: "reviews/\(part).jsonl"), encoding: .utf8)
      let lines = text.split(separator: "\n").prefix(8)
      try write("data/\(part).jsonl", lines.joined(separator: "\n") + "\n")
      let texts = lines.map {
        String($0.prefix { $0 != "\\" }.dropFirst(10).prefix(60).filter { $0.isLetter || $0 == " " })
      }
      func table(_ name: String, _ header: String, _ row: (Int, String) -> String) throws {
        let rows = texts.enumerated().map { row($0.offset, $0.element) }
        try write(name, ([header] + rows).joined(separator: "\n") + "\n")
      }
      try table("pairs/\(part).csv", "sentence1,sentence2,label") {
        "\"\($1), it says\",\($1),\(["no", "yes"][$0 % 2])"
      }
      try table("numbers/\(part).tsv", "sentence1\tsentence2\tlabel") { "\($1)\tsome text\t\(Double($0) / 2)" }
      try table("summaries/\(part).csv", "article,highlights") { "\($1) of the year,\($1)" }
      try write("corpus/\(part).jsonl", texts.map { "{\"text\": \"\($0)\"}\n" }.joined())
    }
  }

  private func write(_ name: String, _ text: String) throws {
    let file = folder.appending(path: name)
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file)
  }

  private func run(_ arguments: [String]) throws {
    let execution = Execution(folder: folder, damage: "", arguments: arguments)
    let outcome = try execution.run(program: program, timeoutSeconds: 120)
    guard outcome.status == .exited(0) else { throw Failure(arguments: arguments, outcome: outcome) }
  }

  private struct Failure: Error, CustomStringConvertible {
    let arguments: [String]
    let outcome: Outcome
    var description: String { "\(arguments.joined(separator: " ")): \(outcome.status)\n\(outcome.errors)" }
  }

  /// Runs an execution that nothing is wrong with.
  ///
  /// - Returns: contents of a file that it writes.
  func result(_ arguments: [String], file: String) throws -> Data {
    try run(arguments)
    return try Data(contentsOf: folder.appending(path: file))
  }

  /// Copies some files and folders.
  func copy(_ names: [String], to target: URL) throws {
    try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
    for file in names.flatMap(files) {
      let copy = target.appending(path: file)
      try FileManager.default.createDirectory(at: copy.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(contentsOf: folder.appending(path: file)).write(to: copy)
    }
  }

  /// Files below a folder or a file itself, by their paths from the root of all, in order.
  func files(below name: String) -> [String] {
    let place = folder.appending(path: name)
    guard let names = FileManager.default.subpaths(atPath: place.path), !names.isEmpty else { return [name] }
    return names.map { "\(name)/\($0)" }.filter { path in
      var isFolder: ObjCBool = false
      return FileManager.default.fileExists(atPath: folder.appending(path: path).path, isDirectory: &isFolder)
        && !isFolder.boolValue && !path.hasSuffix(".lock")
    }.sorted()
  }
}
