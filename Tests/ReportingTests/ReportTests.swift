import Checkpoints
import Foundation
import Testing

@testable import Reporting

#if canImport(FoundationXML)
  import FoundationXML
#endif

/// Reports from run folders: the numbers as they are written there, the page well-formed whatever runs are called.
@Suite struct ReportTests {
  private static let hostile = "<script>alert('x')</script> & \"lora\" ]]> | `a` \u{0}\u{1B}[31m\u{FFFE}"

  @Test func numbersAreThoseOfTheRunFolder() throws {
    let folder = try RunFixture()
    let run = try RunRecord(folder: folder.url, name: "lora")
    #expect(run.isFinished && run.metric == "accuracy" && run.trainableParameters == 98_304)
    #expect(run.adapterBytes == 400_000 && run.peakMegabytes == [600, 612] && run.secondsPerEpoch == 12.5)
    #expect(run.bestValue == 0.75 && run.bestStep == 4 && run.testValue == 0.7)
    #expect(
      run.evaluations == [
        .init(step: 2, epoch: 0.5, trainingSeconds: 6, trainingLoss: 1.5, loss: 1.25, value: 0.5),
        .init(step: 4, epoch: 1, trainingSeconds: 12, trainingLoss: 0.5, loss: nil, value: 0.75),
      ])
  }

  /// Evaluations have their epoch whether or not steps were logged before them: by their own line, in older runs by the summary.
  @Test(arguments: [true, false]) func theEpochOfAnEvaluationNeedsNoLoggedStep(namesEpoch: Bool) throws {
    let folder = try RunFixture()
    if !namesEpoch { try Data("{\"steps_per_epoch\":4}".utf8).write(to: folder.url.appending(path: "summary.json")) }
    if namesEpoch { try FileManager.default.removeItem(at: folder.url.appending(path: "summary.json")) }
    let lines = (1...3).map { step in
      "{\"step\":\(step),\(namesEpoch ? "\"epoch\":\(Double(step) / 4)," : "")\"eval_examples\":9,\"eval_loss\":1.0}\n"
    }
    try Data((lines[0...1].joined() + "{\"step\":3,\"epoch\":0.75,\"loss\":0.5}\n" + lines[2]).utf8)
      .write(to: folder.url.appending(path: "metrics.jsonl"))
    let evaluations = try RunRecord(folder: folder.url, name: "x").evaluations
    #expect(evaluations.map(\.epoch) == [0.25, 0.5, 0.75])
    #expect(evaluations.map(\.trainingLoss) == [nil, nil, 0.5])
  }

  @Test func everyFormHasThem() throws {
    let folder = try RunFixture()
    let report = try RunReport(title: "Two", runs: ["lora", "ia3"].map { try RunRecord(folder: folder.url, name: $0) })
    for text in ["98,304", "0.7500", "0.7000", "400 kB", "612 MiB", "12.5 s", "0.63 %"] {
      #expect(report.markdown().contains(text) && report.html.contains(text), "\(text)")
    }
    guard case .object(let members) = report.json, case .array(let runs)? = members["runs"] else {
      Issue.record("no runs in \(report.json)")
      return
    }
    #expect(runs.count == 2 && members["best"] == "lora")
    #expect(report.plots.map(\.name) == ["epochs", "time", "parameters", "loss"])
  }

  @Test func pageAndPlotsAreWellFormedAndEscapeNames() throws {
    let folder = try RunFixture()
    let report = try RunReport(
      title: Self.hostile, runs: [Self.hostile, "plain"].map { try RunRecord(folder: folder.url, name: $0) })
    let page = try Document(report.html)
    #expect(page.elements.contains("table") && page.elements.filter { $0 == "svg" }.count == 4)
    #expect(!page.elements.contains("script") && !report.html.contains("<script"))
    #expect(page.text.contains("<script>alert('x')</script> & \"lora\""))
    for plot in report.plots {
      let picture = try Document(plot.svg(standsAlone: true))
      #expect(picture.elements.first == "svg" && !picture.elements.contains("script"))
    }
    let rows = report.markdown().split(separator: "\n").filter { $0.hasPrefix("| ") }
    let bars = rows.map { row in row.replacing("\\|", with: "").count { $0 == "|" } }
    #expect(!rows.contains { $0.contains("<script") } && Set(bars.prefix(3)).count == 1)
  }

  /// A page that needs nothing from elsewhere, for light and dark, wide and narrow.
  @Test func thePageStandsAlone() throws {
    let folder = try RunFixture()
    let html = try RunReport(title: "One", runs: [RunRecord(folder: folder.url, name: "a")]).html
    #expect(html.contains("prefers-color-scheme: dark") && html.contains("name=\"viewport\""))
    for word in ["src=", "href=", "url(", "@import", "<script"] { #expect(!html.contains(word), "\(word)") }
    #expect(html.components(separatedBy: "http").count - 1 == 4, "the name space of each plot and no other address")
  }

  @Test func runsThatSayLittle() throws {
    let bare = RunRecord(name: "bare")
    let report = try RunReport(title: "Nothing", runs: [bare])
    #expect(report.plots.isEmpty && report.best == nil)
    #expect(try Document(report.html).text.contains("nothing to draw"))
    #expect(report.table.contains("| bare |"))
    let folder = try RunFixture()
    try FileManager.default.removeItem(at: folder.url.appending(path: "summary.json"))
    let run = try RunRecord(folder: folder.url, name: "stopped")
    #expect(!run.isFinished && run.evaluations.count == 2 && run.evaluations[1].value == 0.75)
  }

  @Test func whatIsNoRunIsRefused() throws {
    let folder = try RunFixture()
    #expect(throws: ReportError.noRun(folder: "/nowhere")) {
      try RunRecord(folder: URL(fileURLWithPath: "/nowhere"), name: "x")
    }
    var (one, other) = (RunRecord(name: "a"), RunRecord(name: "b"))
    (one.metric, other.metric) = ("accuracy", "rougeL")
    #expect(throws: ReportError.different("metrics", ["a: accuracy", "b: rougeL"])) {
      try RunReport(title: "", runs: [one, other])
    }
    (other.metric, one.task, other.task) = ("accuracy", "sst2", "rte")
    #expect(throws: ReportError.different("tasks", ["a: sst2", "b: rte"])) {
      try RunReport(title: "", runs: [one, other, RunRecord(name: "says nothing")])
    }
  }

  /// One line that is none, or no UTF-8, costs no other.
  @Test func aDamagedLineIsLeftOut() throws {
    let folder = try RunFixture()
    let whole = try RunRecord(folder: folder.url, name: "x").evaluations
    let url = folder.url.appending(path: "metrics.jsonl")
    let text = try Data(contentsOf: url)
    try (Data("[]\n".utf8) + text + Data("\n{\"a\":\"".utf8) + Data([0xFF]) + Data("\"}\n".utf8)).write(to: url)
    #expect(try RunRecord(folder: folder.url, name: "x").evaluations == whole)
    #expect(!whole.isEmpty)
  }

  @Test func namesSetFoldersApart() {
    func names(_ paths: String...) -> [String] { RunRecord.names(of: paths.map { URL(fileURLWithPath: $0) }) }
    #expect(names("/runs/lora", "/runs/ia3") == ["lora", "ia3"])
    #expect(names("/x/a/r", "/x/b/r", "/x/a/s") == ["a/r", "b/r", "s"])
    #expect(names("/dupe/a/r", "/dupe/b/a/r") == ["dupe/a/r", "b/a/r"])
    #expect(names("/a/r", "/b/a/r", "/r") == ["a/r", "b/a/r", "r"])
    #expect(names("/") == [""])
  }

  @Test func theBestIsTheSmallestLossWhereSmallIsGood() throws {
    let runs = [("a", 0.5), ("b", 0.25), ("c", 0.25), ("d", nil)].map { name, value in
      var run = RunRecord(name: name)
      (run.metric, run.largerIsBetter, run.bestValue) = ("loss", false, value)
      return run
    }
    #expect(try RunReport(title: "", runs: runs).best?.name == "b")
  }
}

/// A run folder of two evaluations.
final class RunFixture {
  let url = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)")

  init() throws {
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    let summary: JSON = [
      "model": "t5-mini", "task": "imdb", "method": "lora", "learning_rate": "0.002", "metric": "accuracy",
      "metric_larger_is_better": true, "steps": 4, "global_batch_size": 32, "trainable_parameters": 98_304,
      "trainable_share": 0.0063, "adapter_bytes": 400_000, "adapter_sha256": "00", "best_step": 4,
      "best_eval_accuracy": 0.75, "test_accuracy": 0.7, "seconds_per_epoch": 12.5, "training_seconds": 12.5,
      "peak_rss_mb": [600, 612], "ranks": 2, "threads_per_rank": 1,
    ]
    try Data(summary.encoded().utf8).write(to: url.appending(path: "summary.json"))
    let lines = [
      "{\"step\":1,\"epoch\":0.25,\"loss\":2.0}", "{\"step\":2,\"epoch\":0.5,\"loss\":1.0}",
      "{\"step\":2,\"eval_examples\":9,\"eval_loss\":1.25,\"eval_accuracy\":0.5,\"training_seconds\":6.0}",
      "{\"step\":3,\"epoch\":0.75,\"loss\":null,\"skipped\":true}", "{\"step\":4,\"epoch\":1.0,\"loss\":0.5}",
      "{\"step\":4,\"eval_examples\":9,\"eval_loss\":null,\"eval_accuracy\":0.75,\"training_seconds\":12.0}",
    ]
    try Data(lines.joined(separator: "\n").utf8).write(to: url.appending(path: "metrics.jsonl"))
  }

  deinit { try? FileManager.default.removeItem(at: url) }
}

/// An XML document: names of its elements in order, and its text.
final class Document: NSObject, XMLParserDelegate {
  private(set) var elements: [String] = []
  private(set) var text = ""

  struct Malformed: Error {
    let reason: String
  }

  init(_ source: String) throws {
    super.init()
    let parser = XMLParser(data: Data(source.utf8))
    parser.delegate = self
    guard parser.parse() else { throw Malformed(reason: "\(parser.parserError as Any), line \(parser.lineNumber)") }
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) { elements.append(name) }

  func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }
}
