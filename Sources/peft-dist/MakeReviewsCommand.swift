import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import TextGrammar

struct MakeReviewsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "make-reviews",
    abstract: "Write a data set of reviews, and a corpus to pre-train on, from a grammar.",
    discussion: """
      Writes train.jsonl, validation.jsonl and test.jsonl with the columns text and label (1 positive), half of each label and no \
      review twice. The opinions of the test part have wordings that no other part has. With --corpus also corpus.jsonl: rows with \
      a text or with a source and its target, none of which names the label of a whole review as the task does. The same --seed \
      gives the same bytes. The form of the grammar is told at the head of examples/reviews/grammar.txt.

        peft-dist make-reviews --grammar examples/reviews/grammar.txt --output reviews --corpus 40000
      """)

  @Option(help: ArgumentHelp("The grammar.", valueName: "file"))
  var grammar: String
  @Option(help: ArgumentHelp("New or empty folder for the files.", valueName: "dir"))
  var output: String
  @Option(help: ArgumentHelp("Reviews to train on, an even number as for the other parts.", valueName: "n"))
  var train = 3000
  @Option(help: ArgumentHelp("Reviews to validate on.", valueName: "n"))
  var validation = 500
  @Option(help: ArgumentHelp("Reviews to test on.", valueName: "n"))
  var test = 1000
  @Option(help: ArgumentHelp("Rows to pre-train on.", valueName: "n"))
  var corpus = 0
  @Option(help: ArgumentHelp("Another seed draws other texts.", valueName: "n"))
  var seed: UInt64 = 1

  func validate() throws {
    for (flag, value) in [("--train", train), ("--validation", validation), ("--test", test)]
    where value < 2 || value % 2 != 0 {
      throw ValidationError("\(flag) \(value): expected an even number, half of the reviews have each label")
    }
    try OptionRanges.check(
      [("--train", train, 2), ("--validation", validation, 2), ("--test", test, 2), ("--corpus", corpus, 0)],
      most: 100_000_000)
  }

  func run() throws {
    let target = try OutputFolder.new(output)
    let text = try TextFile.read(grammar, as: "the grammar")
    var maker = try ReviewMaker(Grammar(text, path: grammar, given: ReviewMaker.given), seed: seed)
    var files: [(name: String, rows: [JSON])] = []
    let parts: [(name: String, count: Int, part: ReviewMaker.Part)] = [
      ("train", train, .common), ("validation", validation, .common), ("test", test, .unseen),
    ]
    for (site, (name, count, part)) in parts.enumerated() {
      let reviews = try maker.reviews(count, part: part, kind: name, site: UInt32(site))
      files.append((name, reviews.map { ["text": .string($0.text), "label": $0.sign == .good ? 1 : 0] }))
    }
    if corpus > 0 {
      let rows = try maker.corpus(corpus, site: UInt32(parts.count))
      files.append(("corpus", rows.map(Self.json)))
    }
    try makeFolder(target)
    for (name, rows) in files {
      let url = target.appending(path: name + ".jsonl")
      let bytes = Array(rows.map { $0.encoded(.compact) + "\n" }.joined().utf8)
      let digest = try AtomicFile.write(bytes, to: url)
      print("\(url.path) \(ReadableNumbers.grouped(rows.count)) rows sha256 \(digest.sha256)")
    }
  }

  private static func json(_ row: CorpusRow) -> JSON {
    switch row {
    case .text(let text): ["text": .string(text)]
    case .pair(let source, let target): ["source": .string(source), "target": .string(target)]
    }
  }
}
