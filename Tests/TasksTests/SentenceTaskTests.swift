import Foundation
import Testing

@testable import Tasks

/// Tasks of one or two sentences, in each form and format.
@Suite struct SentenceTaskTests {
  private func texts(
    _ name: String, _ file: String, _ content: String, _ options: TextOptions
  ) throws -> [ExampleTexts] {
    try Fixtures.withFolder([file: content]) { folder in
      let url = folder.appendingPathComponent(file)
      let task = try TaskCatalogue.task(named: name, options: options).resolved(with: url)
      let examples = try task.examples(at: url)
      #expect(examples.map(\.index) == Array(examples.indices))
      return examples.map(\.texts)
    }
  }

  private func inEachForm(_ name: String, _ file: String, _ content: String) throws -> [[ExampleTexts]] {
    try [ExampleForm.textToText, .classification, .continuation].map {
      try texts(name, file, content, TextOptions(form: $0))
    }
  }

  @Test func mrpc() throws {
    let line = #"{"label": 1, "id1": "5", "sentence1": "A b .", "sentence2": "\" B a ."}"#
    let forms = try inEachForm("mrpc", "dev.jsonl", line + "\n" + line.replacing("1,", with: "0,"))
    #expect(forms[0][0] == ExampleTexts(#"mrpc sentence1: A b . sentence2: " B a ."#, target: "equivalent", label: 1))
    #expect(forms[0][1].target == "not_equivalent" && forms[0][1].label == 0)
    #expect(forms[1][0] == ExampleTexts("A b .", second: #"" B a ."#, target: "equivalent", label: 1))
    #expect(
      forms[2][0]
        == ExampleTexts(
          "Sentence 1: A b .\nSentence 2: \" B a .", target: " equivalent", label: 1,
          tail: "\nSame meaning or not:", references: ["equivalent"]))
  }

  /// GLUE's TSV: a quote is a character, the `index` is no name, the labels are words.
  @Test func rte() throws {
    let table = "index\tsentence1\tsentence2\tlabel\r\n0\tHe said \"no.\tNo.\tnot_entailment\r\n1\tA\tB\tentailment\r\n"
    let forms = try inEachForm("rte", "dev.tsv", table)
    #expect(
      forms[0][0]
        == ExampleTexts("rte sentence1: He said \"no. sentence2: No.", target: "not_entailment", label: 1))
    #expect(forms[0][1] == ExampleTexts("rte sentence1: A sentence2: B", target: "entailment", label: 0))
    #expect(forms[1][0] == ExampleTexts("He said \"no.", second: "No.", target: "not_entailment", label: 1))
    #expect(
      forms[2][1]
        == ExampleTexts(
          "Sentence 1: A\nSentence 2: B", target: " entailment", label: 0, tail: "\nDoes the first entail the second:",
          references: ["entailment"]))
  }

  @Test func sst2() throws {
    let forms = try inEachForm("sst2", "train.tsv", "sentence\tlabel\nit 's good . \t1\nbad\t0\n")
    #expect(forms[0][0] == ExampleTexts("sst2 sentence: it 's good . ", target: "positive", label: 1))
    #expect(forms[1][1] == ExampleTexts("bad", target: "negative", label: 0))
    #expect(
      forms[2][1]
        == ExampleTexts("bad", target: " negative", label: 0, tail: "\nSentiment:", references: ["negative"]))
  }

  /// The labels of the data, by number where all are numbers.
  @Test func pairsWithLabelsOfTheData() throws {
    let words = "sentence1,sentence2,label\n\"a, b\",c,no\nd,\"\",maybe\n"
    let forms = try inEachForm("pair", "train.csv", words)
    #expect(forms[0][0] == ExampleTexts("classify sentence1: a, b sentence2: c", target: "no", label: 1))
    #expect(forms[1][1] == ExampleTexts("d", second: "", target: "maybe", label: 0))
    #expect(forms[2][0].source == "Sentence 1: a, b\nSentence 2: c" && forms[2][0].tail == "\nLabel:")
    let numbers = "sentence1\tlabel\na\t10\nb\t2\nc\t1\n"
    #expect(
      try inEachForm("pair", "train.tsv", numbers)[0] == [
        ExampleTexts("classify sentence1: a", target: "10", label: 2),
        ExampleTexts("classify sentence1: b", target: "2", label: 1),
        ExampleTexts("classify sentence1: c", target: "1", label: 0),
      ])
  }

  /// Two ways to write one number are two labels, in the order of their bytes: a set's own order is another in each process.
  @Test func labelsOfEqualNumberHaveAnOrder() throws {
    let words = ["+1", "01", "001", "1", "+01", "0001", "+001"]
    let rows = words.shuffled().map { "a\t\($0)\n" }.joined()
    let labels = try Fixtures.withFolder(["train.tsv": "sentence1\tlabel\nb\t2\nc\t0\n" + rows]) { folder in
      try PairTask().resolved(with: folder.appending(path: "train.tsv")).labels
    }
    #expect(labels == ["0", "+001", "+01", "+1", "0001", "001", "01", "1", "2"])
  }

  @Test func whiteSpaceAroundALabelDoesNotCount() throws {
    let table = "sentence1,label\na, yes\nb,no \nc,yes\n"
    #expect(try inEachForm("pair", "train.csv", table)[0].map(\.target) == ["yes", "no", "yes"])
    let named = try texts("sst2", "f.csv", "sentence,label\na, positive\nb, 0\n", TextOptions())
    #expect(named.map(\.label) == [1, 0])
    // Nor around a name that a model has.
    let options = TextOptions(labelNames: [" no", "yes "])
    #expect(try texts("pair", "f.csv", table, options).map(\.label) == [1, 0, 1])
  }

  @Test func pairsWithNamedLabels() throws {
    let options = TextOptions(labelNames: ["bad", "good"])
    let examples = try texts(
      "pair", "f.jsonl", #"{"sentence1": "a", "label": 1}"# + "\n" + #"{"sentence1": "b", "label": "bad"}"#, options)
    #expect(examples.map(\.target) == ["good", "bad"] && examples.map(\.label) == [1, 0])
    let error = #expect(throws: DataError.self) {
      try texts("pair", "f.csv", "sentence1,label\na,2\n", options)
    }
    #expect(error?.description.contains("f.csv:2: unknown label 2; this task knows 0 (bad) and 1 (good)") == true)
  }

  @Test func unnamedLabels() throws {
    let error = #expect(throws: DataError.self) {
      try TaskCatalogue.task(named: "pair").examples(at: URL(filePath: "/none"))
    }
    #expect(error == .unnamedLabels(task: "pair") && error?.description.contains("--label-names") == true)
  }

  /// Rows without a usable label, and what is said.
  @Test(arguments: [
    ("pair", "f.csv", "sentence1,label\na,x\nb,NaN\n", "f.csv:3: unknown label \"NaN\""),
    ("pair", "f.csv", "sentence1,label\na,x\nb,\n", "f.csv:3: unknown label \"\""),
    ("pair", "f.csv", "sentence1,label\na,x\nb, \n", "f.csv:3: unknown label \"\""),
    ("pair", "f.csv", "sentence1,label\na,x\nb,x\n", "all labels are \"x\"; expected at least two"),
    ("pair", "f.jsonl", #"{"sentence1": "a", "label": 1.5}"#, "f.jsonl:1: \"label\" is not a label: found 1.5"),
    (
      "pair", "f.jsonl",
      #"{"sentence1": "a", "label": 1}"# + "\n" + #"{"sentence1": "a", "sentence2": "b", "label": 0}"#,
      "f.jsonl:2: expected no \"sentence2\" as in the lines before, found one"
    ),
    ("mrpc", "f.tsv", "sentence1\tsentence2\na\tb\n", "f.tsv:1: the first line names no column \"label\""),
    (
      "rte", "test.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n",
      "training and evaluation need the labels (of GLUE's test files"
    ),
    (
      "rte", "f.jsonl", #"{"sentence1": "a", "sentence2": "b"}"#,
      "training and evaluation need the labels (of GLUE's test files"
    ),
    ("sst2", "f.jsonl", #"{"sentence": "a", "label": -1}"#, "f.jsonl:1: label -1 stands for none"),
    ("sst2", "f.tsv", "sentence\tlabel\na\tpositively\n", "f.tsv:2: unknown label positively"),
    (
      "sst2", "f.tsv", "sentence\tlabel\na\t\n",
      "f.tsv:2: unknown label \"\"; this task knows 0 (negative) and 1 (positive)"
    ),
    ("regression", "f.csv", "sentence1,label\na,nan\n", "f.csv:2: \"label\" is not a finite number"),
    ("regression", "f.csv", "sentence1,label\na,1e99\n", "f.csv:2: \"label\" is not a finite number"),
    ("regression", "f.csv", "sentence1,score\na,1\nb,two\n", "f.csv:3: \"score\" is not a finite number: found 'two'"),
    (
      "regression", "f.jsonl", #"{"sentence1": "a", "label": NaN}"#,
      "f.jsonl:1: \"label\" is not a finite number: found NaN"
    ),
    ("regression", "f.csv", "sentence1,label\na,0x1A\n", "f.csv:2: \"label\" is not a finite number: found '0x1A'"),
    ("regression", "f.jsonl", #"{"sentence1": "a", "label": "2"}"#, "f.jsonl:1: \"label\" is not a finite number"),
    ("regression", "f.jsonl", #"{"sentence1": "a"}"#, "f.jsonl:1: the object has no \"label\""),
  ])
  func badLabels(task: String, file: String, content: String, message: String) throws {
    let error = #expect(throws: DataError.self) { try texts(task, file, content, TextOptions()) }
    #expect(error?.description.contains(message) == true, "\(String(describing: error))")
  }

  @Test func regression() throws {
    let table = "sentence1,sentence2,score\nA,B,2.75\nC,D,-0.05\n"
    let forms = try inEachForm("regression", "dev.csv", table)
    #expect(forms[0][0] == ExampleTexts("stsb sentence1: A sentence2: B", target: "2.8", value: 2.75))
    #expect(forms[0][1].target == "0.0" && forms[0][1].value == -0.05)
    #expect(forms[1][0] == ExampleTexts("A", second: "B", target: "2.8", value: 2.75))
    #expect(
      forms[2][0]
        == ExampleTexts(
          "Sentence 1: A\nSentence 2: B", target: " 2.8", value: 2.75, tail: "\nScore:", references: ["2.8"]))
    let single = try texts("regression", "f.jsonl", #"{"sentence1": "a", "label": 3}"#, TextOptions())
    #expect(single == [ExampleTexts("stsb sentence1: a", target: "3.0", value: 3)])
  }

  /// Fifths as Python's `round(x * 5) / 5`: to even between two.
  @Test func fifths() {
    let words = [0.0, 0.1, 0.3, 0.5, 2.75, 3.8, 5, -1.3].map(RegressionTask.words)
    #expect(words == ["0.0", "0.0", "0.4", "0.4", "2.8", "3.8", "5.0", "-1.2"])
  }
}
