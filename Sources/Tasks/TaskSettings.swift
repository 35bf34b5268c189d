import Checkpoints
import Foundation

/// What a run did to its texts: `task_settings.json` beside an adapter or tuned model, by which other commands make the same
/// of theirs. Hugging Face PEFT does not look at the file.
///
/// ```json
/// {"columns": ["sentence"], "form": "text_to_text", "format_version": 1, "generation": {"num_beams": 1},
///  "keeps_texts_apart": false, "labels": ["negative", "positive"], "lowercase": false, "max_source_length": 128,
///  "max_target_length": 3, "strip_html": false, "task": "sst2"}
/// ```
public struct TaskSettings: Sendable, Equatable {
  public static let fileName = "task_settings.json"
  private static let formatVersion = 1

  public var task: String
  public var form: ExampleForm
  /// Columns of the texts, in the order in which the model reads them; empty for a corpus.
  public var columns: [String]
  public var lowercase: Bool
  public var stripHTML: Bool
  public var keepsTextsApart: Bool
  /// Names by number; empty for free text and values.
  public var labels: [String]
  /// In tokens, special tokens included.
  public var maxSourceLength: Int
  public var maxTargetLength: Int
  /// How answers were generated that judged, by the names of the flags.
  public var generation: [String: JSON]
  /// The file it was read from.
  public var origin = ""

  public init(
    task: any TextTask, columns: [String], maxSourceLength: Int, maxTargetLength: Int, generation: [String: JSON]
  ) {
    self.task = task.name
    self.columns = columns
    form = task.options.form
    lowercase = task.options.lowercase
    stripHTML = task.options.stripHTML
    keepsTextsApart = task.options.keepsTextsApart
    labels = task.labels
    self.maxSourceLength = maxSourceLength
    self.maxTargetLength = maxTargetLength
    self.generation = generation
  }

  /// - Throws: `CheckpointError` naming the file.
  public func write(to folder: URL) throws {
    let document: JSON = [
      "format_version": .integer(Self.formatVersion), "task": .string(task), "form": .string(form.word),
      "columns": .array(columns.map { .string($0) }), "lowercase": .bool(lowercase), "strip_html": .bool(stripHTML),
      "keeps_texts_apart": .bool(keepsTextsApart), "labels": .array(labels.map { .string($0) }),
      "max_source_length": .integer(maxSourceLength), "max_target_length": .integer(maxTargetLength),
      "generation": .object(generation),
    ]
    try AtomicFile.write(document, to: folder.appendingPathComponent(Self.fileName))
  }

  /// Of an adapter or model in `folder`; nil where the folder has none, as those of other programs.
  ///
  /// - Throws: `CheckpointError` naming file and key.
  public init?(folder: URL) throws {
    let url = folder.appendingPathComponent(Self.fileName)
    guard FileManager.default.fileExists(atPath: url.path) else { return nil }
    let file = try JSONObject(file: url)
    let version = try file.int("format_version")
    guard version <= Self.formatVersion else {
      throw CheckpointError.futureFormat(path: url.path, found: version, supported: Self.formatVersion)
    }
    task = try file.string("task")
    let word = try file.string("form")
    guard let form = ExampleForm(word: word) else {
      throw file.error("form", expected: "text_to_text, continuation or classification")
    }
    self.form = form
    columns = try file.strings("columns")
    lowercase = try file.bool("lowercase")
    stripHTML = try file.bool("strip_html")
    keepsTextsApart = try file.bool("keeps_texts_apart")
    labels = try file.strings("labels")
    maxSourceLength = try file.int("max_source_length")
    maxTargetLength = try file.int("max_target_length")
    for (key, length) in [("max_source_length", maxSourceLength), ("max_target_length", maxTargetLength)]
    where !(1...1 << 22).contains(length) {
      throw file.error(key, expected: "1 to \(1 << 22)")
    }
    generation = try file.optionalObject("generation")?.members ?? [:]
    origin = url.path
  }

  /// The task with these texts and labels.
  ///
  /// - Throws: `DataError` for a task that nobody knows.
  public func makeTask() throws -> any TextTask {
    let options = TextOptions(
      lowercase: lowercase, stripHTML: stripHTML, form: form, labelNames: labels, keepsTextsApart: keepsTextsApart)
    return try TaskCatalogue.task(named: task, options: options).relabelled(labels)
  }
}

extension ExampleForm {
  private static let words: [(ExampleForm, String)] = [
    (.textToText, "text_to_text"), (.continuation, "continuation"), (.classification, "classification"),
  ]

  /// As files write it.
  var word: String { Self.words.first { $0.0 == self }?.1 ?? "" }

  init?(word: String) {
    guard let found = Self.words.first(where: { $0.1 == word }) else { return nil }
    self = found.0
  }
}
