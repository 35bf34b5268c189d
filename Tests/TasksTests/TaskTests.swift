import Foundation
import Testing

@testable import Tasks

@Suite struct TaskTests {
  @Test func catalogue() throws {
    let names = ["imdb", "sst2", "mrpc", "rte", "pair", "regression", "cnn_dailymail", "scitldr", "text", "corpus"]
    #expect(TaskCatalogue.names == names)
    #expect(try TaskCatalogue.task(named: "imdb").labels == ["negative", "positive"])
    #expect(try TaskCatalogue.task(named: "text").metric.name == "loss")
    let error = #expect(throws: DataError.self) { try TaskCatalogue.task(named: "imbd") }
    #expect(
      error?.description == "there is no task \"imbd\"; known tasks: \(names.joined(separator: ", "))")
  }

  /// The best is chosen by a metric that is reported, or by the loss.
  @Test(arguments: TaskCatalogue.names) func theMetricIsReported(name: String) throws {
    let task = try TaskCatalogue.task(named: name, options: TextOptions(labelNames: ["a", "b"]))
    #expect(task.name == name)
    let outcome = ExampleOutcome(.text("b"), Expectation(references: ["b"], label: 1, value: 1))
    let names = task.metrics.values(of: [outcome], loss: 1).map(\.name)
    #expect(names.contains(task.metric.name) || task.metric == .loss)
    #expect(Set(names).count == names.count)
  }

  @Test func freeTextIsNothingForAClassifier() throws {
    for name in ["text", "cnn_dailymail", "scitldr"] {
      let error = #expect(throws: DataError.self) {
        try TaskCatalogue.task(named: name, options: TextOptions(form: .classification))
      }
      #expect(error?.description.contains("task \(name) cannot be done by a classifier") == true)
      #expect(try TaskCatalogue.task(named: name, options: TextOptions(form: .continuation)).name == name)
    }
  }

  @Test func imdbInOtherForms() throws {
    let text = "{\"label\": 1, \"text\": \"A film\"}"
    try Fixtures.withFolder(["train.jsonl": text, "test.csv": "label,text\npositive,A film\n"]) { folder in
      for split in [DataSplit.train, .test] {
        let classifier = IMDbTask(options: TextOptions(form: .classification))
        let url = try classifier.requiredLocation(of: split, in: folder)
        #expect(
          try classifier.examples(at: url).map(\.texts) == [
            ExampleTexts("A film", target: "positive", label: 1)
          ])
        #expect(
          try IMDbTask(options: TextOptions(lowercase: true, form: .continuation)).examples(at: url).map(\.texts) == [
            ExampleTexts("a film", target: " positive", label: 1, tail: "\nSentiment:", references: ["positive"])
          ])
      }
    }
  }

  @Test func imdbLines() throws {
    let text = """
      {"id": 7, "rating": 10, "label": 1, "text": "A FILM.<br /><br />Ä \\u00e9<br/>"}
      {"label": 0, "text": "bad"}

      """
    try Fixtures.withFolder(["train.jsonl": text]) { folder in
      let plain = IMDbTask()
      let url = try plain.requiredLocation(of: .train, in: folder)
      #expect(
        try plain.examples(at: url) == [
          Example(index: 0, id: "7", source: "A FILM.<br /><br />Ä é<br/>", target: "positive", label: 1),
          Example(index: 1, id: "2", source: "bad", target: "negative", label: 0),
        ])
      let stripped = IMDbTask(options: TextOptions(lowercase: true, stripHTML: true))
      #expect(try stripped.examples(at: url)[0].source == "a film.  ä é<br/>")
      #expect(plain.location(of: .test, in: folder) == nil)
      #expect(throws: DataError.self) { try plain.requiredLocation(of: .test, in: folder) }
      #expect(throws: DataError.self) {
        try plain.requiredLocation(of: .train, in: folder.appendingPathComponent("none"))
      }
    }
  }

  /// The official folders, found from the folder itself and from its parent; other files are left alone.
  @Test func imdbFolders() throws {
    try Fixtures.withFolder([
      "aclImdb/train/pos/0_9.txt": "good", "aclImdb/train/neg/0_2.txt": "bad",
      "aclImdb/train/pos/10_8.txt": "fine",
      "aclImdb/train/neg/1_1.txt": "worse", "aclImdb/train/unsup/3_0.txt": "what",
      "aclImdb/train/pos/urls": "x",
    ]) { folder in
      let task = IMDbTask()
      let inner = folder.appendingPathComponent("aclImdb")
      #expect(task.location(of: .train, in: folder)?.path == task.location(of: .train, in: inner)?.path)
      let examples = try task.examples(at: task.requiredLocation(of: .train, in: folder))
      #expect(examples.map(\.id) == ["neg/0_2", "pos/0_9", "pos/10_8", "neg/1_1"])
      #expect(examples.map(\.source) == ["bad", "good", "fine", "worse"])
      #expect(examples.map(\.label) == [0, 1, 1, 0] && examples.map(\.index) == [0, 1, 2, 3])
    }
    try Fixtures.withFolder(["train/pos/0_9.txt": "good"]) { folder in
      #expect(throws: DataError.self) { try IMDbTask().examples(at: folder.appendingPathComponent("train")) }
    }
    try Fixtures.withFolder(["train/pos/x": "", "train/neg/x": ""]) { folder in
      let url = folder.appendingPathComponent("train")
      #expect(throws: DataError.noExamples(url)) { try IMDbTask().examples(at: url) }
    }
  }

  @Test func textToText() throws {
    try Fixtures.withFolder(["dev.jsonl": #"{"source": "A", "target": "B"}"# + "\r\n"]) { folder in
      let task = TextToTextTask(options: TextOptions(lowercase: true))
      let url = try task.requiredLocation(of: .validation, in: folder)
      #expect(try task.examples(at: url) == [Example(index: 0, id: "1", source: "a", target: "b")])
    }
  }

  /// As Python reads it, and pandas writes it.
  @Test func theLastOfTwoKeysCountsAndWholeNumbersMayHaveAPoint() throws {
    try Fixtures.withFolder(["f.jsonl": #"{"text": "a", "label": 1.0, "text": "b"}"# + "\n"]) { folder in
      let examples = try IMDbTask().examples(at: folder.appendingPathComponent("f.jsonl"))
      #expect(examples.map(\.source) == ["b"] && examples.map(\.label) == [1])
    }
  }

  static let good = #"{"label": 1, "text": "x"}"# + "\n"

  /// What is wrong with line 2, and what the message must say.
  @Test(arguments: [
    (#"{"label": 1, "text": "x""#, "malformed JSON"),
    (#"nonsense"#, "malformed JSON"),
    (#"[1, 2]"#, "another JSON value"),
    (#"{"label": 1}"#, #"the object has no "text""#),
    (#"{"text": "x"}"#, #"the object has no "label""#),
    (#"{"label": 1, "text": 5}"#, #""text" is not text"#),
    (#"{"label": 1, "text": null}"#, #""text" is not text"#),
    (#"{"label": [], "text": "x"}"#, #""label" is not 0 or 1: found []"#),
    (#"{"label": true, "text": "x"}"#, #""label" is not 0 or 1: found true"#),
    (#"{"label": 1, "text": "x" "a": 2}"#, "(column 26: expected"),
    (#"{"label": 7, "text": "x"}"#, "unknown label 7"),
    (#"{"label": "maybe", "text": "x"}"#, "unknown label maybe"),
    ("\n" + #"{"label": 1, "text": "x"}"#, "an empty line"),
  ])
  func badLine(line: String, message: String) throws {
    try Fixtures.withFolder(["f.jsonl": Self.good + line + "\n"]) { folder in
      let url = folder.appendingPathComponent("f.jsonl")
      let error = #expect(throws: DataError.self) { try IMDbTask().examples(at: url) }
      #expect(error?.description.contains("f.jsonl:2: ") == true, "\(String(describing: error))")
      #expect(error?.description.contains(message) == true, "\(String(describing: error))")
    }
  }

  @Test func invalidUTF8() throws {
    try Fixtures.withFolder { folder in
      let url = folder.appendingPathComponent("f.jsonl")
      var bytes = Data(Self.good.utf8)
      bytes.append(contentsOf: Array(#"{"label": 1, "text": ""#.utf8) + [0xC3, 0x28] + Array("\"}\n".utf8))
      try bytes.write(to: url)
      #expect(throws: DataError.invalidUTF8(url, line: 2)) { try IMDbTask().examples(at: url) }
    }
  }

  @Test func nothingThere() throws {
    try Fixtures.withFolder(["empty.jsonl": "", "blank.jsonl": "\n\n"]) { folder in
      for name in ["empty.jsonl", "blank.jsonl"] {
        let url = folder.appendingPathComponent(name)
        #expect(throws: DataError.noExamples(url)) { try IMDbTask().examples(at: url) }
      }
      let missing = folder.appendingPathComponent("none.jsonl")
      #expect(throws: DataError.self) { try TextToTextTask().examples(at: missing) }
      let error = #expect(throws: DataError.self) { try TextToTextTask().examples(at: folder) }
      #expect(error?.description.contains("cannot read") == true)
    }
  }
}
