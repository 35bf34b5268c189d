import Foundation
import Testing

@testable import Tasks

@Suite struct SummaryTaskTests {
  @Test func cnnDailyMail() throws {
    let lines = #"{"id": "x7", "article": "One. Two. Three. Four.", "highlights": "It is .\nSo ."}"#
    let table = "id,article,highlights\nx7,One. Two. Three. Four.,\"It is .\nSo .\"\n"
    try Fixtures.withFolder(["train.jsonl": lines, "test.csv": table]) { folder in
      for file in ["train.jsonl", "test.csv"] {
        let url = folder.appendingPathComponent(file)
        let written = try TaskCatalogue.task(named: "cnn_dailymail").examples(at: url)
        #expect(written.map(\.id) == ["x7"])
        #expect(
          written[0].texts == ExampleTexts("summarize: One. Two. Three. Four.", target: "It is .\nSo ."))
        let continued = try TaskCatalogue.task(
          named: "cnn_dailymail", options: TextOptions(form: .continuation)
        ).examples(at: url)
        #expect(
          continued[0].texts
            == ExampleTexts(
              "One. Two. Three. Four.", target: " It is .\nSo .", tail: "\nTL;DR:", references: ["It is .\nSo ."]))
      }
    }
  }

  private static let paper = #"{"paper_id": "p", "source": ["A b.", "C d."], "target": ["One", "Two"], "title": "x"}"#

  @Test func sciTLDR() throws {
    try Fixtures.withFolder(["dev.jsonl": Self.paper]) { folder in
      let task = try TaskCatalogue.task(named: "scitldr")
      let url = try task.requiredLocation(of: .validation, in: folder)
      let example = try task.examples(at: url)[0]
      #expect(example.id == "p")
      #expect(example.texts == ExampleTexts("summarize: A b. C d.", target: "One", references: ["One", "Two"]))
      #expect(try SciTLDRTask().documents(at: url)[0].sentences == ["A b.", "C d."])
    }
  }

  @Test(arguments: [
    ("scitldr", "f.jsonl", #"{"source": ["a"], "target": []}"#, "\"target\" is not a list of at least one summary"),
    ("scitldr", "f.jsonl", #"{"source": "a", "target": ["b"]}"#, "\"source\" is not a list of texts"),
    ("scitldr", "f.jsonl", #"{"source": ["a", 3], "target": ["b"]}"#, "\"source\" is not a list of texts"),
    ("scitldr", "f.csv", "source,target\na,b\n", "\"source\" is not a list of texts: only JSON has lists"),
    ("cnn_dailymail", "f.jsonl", #"{"article": "a"}"#, "the object has no \"highlights\""),
    ("cnn_dailymail", "f.csv", "id,article\n1,a\n", "names no column \"highlights\""),
  ])
  func badRows(task: String, file: String, content: String, message: String) throws {
    try Fixtures.withFolder([file: content]) { folder in
      let url = folder.appendingPathComponent(file)
      let error = #expect(throws: DataError.self) { try TaskCatalogue.task(named: task).examples(at: url) }
      #expect(error?.description.contains(message) == true, "\(String(describing: error))")
    }
  }

  /// Whatever the article's length, the prompt's end and the summary stay.
  @Test func cuttingKeepsTheSummary() throws {
    let tokenizer = WordLengthTokenizer()
    let options = TextOptions(form: .continuation)
    let encoding = ExampleEncoding(form: .continuation, source: 6, target: 5)
    for length in [1, 5, 6, 50] {
      let words = [String](repeating: "abc", count: length).joined(separator: " ")
      let line = #"{"article": "\#(words)", "highlights": "of it all"}"#
      try Fixtures.withFolder(["f.jsonl": line]) { folder in
        let url = folder.appendingPathComponent("f.jsonl")
        let example = try TaskCatalogue.task(named: "cnn_dailymail", options: options).examples(at: url)[0]
        let encoded = encoding.encode(example, with: tokenizer)
        // A word's id is its length + 10; "\nTL;DR:" is one word of seven characters.
        #expect(encoded.source == [Int32](repeating: 13, count: min(length, 5)) + [17])
        #expect(encoded.target == [12, 12, 13, 1])
        #expect(encoded.uncutSourceLength == length + 1)
      }
    }
    let short = ExampleEncoding(form: .continuation, source: 6, target: 3)
    let example = Example(index: 0, id: "", source: "abc", target: " of it all", tail: "\nTL;DR:")
    #expect(short.encode(example, with: tokenizer).target == [12, 12, 1])
  }

  private func document(_ sentences: Int) -> SummaryDocument {
    let names = ["One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"]
    return SummaryDocument(
      id: "", text: names.prefix(sentences).map { "\($0)." }.joined(separator: " "), summaries: ["One two three"],
      givenSentences: nil)
  }

  @Test func baselines() {
    #expect(SummaryBaseline.lead.summary(of: document(5), index: 0) == "One.\nTwo.\nThree.")
    #expect(SummaryBaseline.lead.summary(of: document(2), index: 0) == "One.\nTwo.")
    let scores = SummaryBaseline.lead.scores(of: [document(5), document(9)])
    #expect(scores.map(\.name) == ["exact_match", "rouge1", "rouge2", "rougeL", "rougeLsum", "bleu"])
    #expect(scores[1].value == 1 && scores[3].value == 1)
  }

  /// Three different sentences in the order of the document, each as likely as the others, the same every time.
  @Test func randomSentences() {
    let ten = document(10)
    let sentences = ten.sentences
    var drawn = [Int](repeating: 0, count: 10)
    for index in 0..<2000 {
      let summary = SummaryBaseline.random.summary(of: ten, index: index)
      let places = summary.split(separator: "\n").compactMap { sentences.firstIndex(of: String($0)) }
      #expect(places.count == 3 && places == Set(places).sorted())
      for place in places { drawn[place] += 1 }
      #expect(summary == SummaryBaseline.random.summary(of: ten, index: index))
    }
    #expect(drawn.allSatisfy { (500...700).contains($0) }, "\(drawn)")
    #expect(SummaryBaseline.random.summary(of: document(2), index: 3) == "One.\nTwo.")
    #expect(SummaryBaseline.random.summary(of: document(0), index: 3) == "")
  }

  @Test(arguments: [
    ("", []),
    ("One. Two!  Three? four", ["One.", "Two!", "Three? four"]),
    (
      "He said \"no.\" Then (again.) \u{201C}So\u{201D} it is ...",
      ["He said \"no.\"", "Then (again.)", "\u{201C}So\u{201D} it is ..."]
    ),
    (
      "Mr. Smith of the U.S. Senate paid 3.5 million. He left at 5 p.m. today.",
      [
        "Mr. Smith of the U.S. Senate paid 3.5 million.", "He left at 5 p.m. today.",
      ]
    ),
    ("It is so . \"And so .", ["It is so .", "\"And so ."]),
    ("One. Two\nThree. Four\n\n", ["One. Two", "Three. Four"]),
    ("Really?! Yes. ", ["Really?!", "Yes."]),
  ])
  func sentences(text: String, expected: [String]) {
    #expect(SentenceSplitter.sentences(of: text) == expected)
  }
}
