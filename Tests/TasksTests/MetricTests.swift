import Foundation
import Testing

@testable import Tasks

/// What the goldens (replayed by `ConformanceTests`) do not show.
@Suite struct MetricTests {
  private func values(_ metrics: TaskMetrics, _ outcomes: [ExampleOutcome], loss: Double? = nil) -> [String: Double] {
    Dictionary(uniqueKeysWithValues: metrics.values(of: outcomes, loss: loss).map { ($0.name, $0.value) })
  }

  // MARK: Labels and numbers

  @Test func labels() {
    let expectation = { Expectation(references: [["no", "yes"][$0]], label: $0) }
    let generated = [("yes", 1), (" no\n", 0), ("No", 0), ("yes", 0)].map {
      ExampleOutcome(.text($0.0), expectation($0.1))
    }
    let found = TaskMetrics.labels(["no", "yes"]).values(of: generated)
    #expect(found.map(\.name) == ["accuracy", "f1", "matthews_correlation", "no_label_share"])
    #expect(found.map(\.value).prefix(2) == [0.5, 2.0 / 3] && found[3].value == 0.25)
    #expect(
      TaskMetrics.labels(["no", "yes"], matthews: false).values(of: generated).map(\.name) == [
        "accuracy", "f1", "no_label_share",
      ])
    let classified = [(1, 1), (0, 0), (1, 0)].map { ExampleOutcome(.label($0.0), expectation($0.1)) }
    #expect(
      values(.labels(["no", "yes"]), classified) == [
        "accuracy": 2.0 / 3, "f1": 2.0 / 3, "matthews_correlation": 0.5,
      ])
  }

  @Test func numbers() {
    func outcome(_ answer: Answer, _ value: Double) -> ExampleOutcome { .init(answer, Expectation(value: value)) }
    let classified = values(.regression, [outcome(.value(1), 10), outcome(.value(2), 100), outcome(.value(4), 1000)])
    #expect(Set(classified.keys) == ["pearson", "spearmanr"] && classified["spearmanr"] == 1)
    let generated = values(
      .regression, [outcome(.text(" 2.8\n"), 3), outcome(.text("none"), 5), outcome(.text("nan"), 1)])
    // 2.8, −1, −1 against 3, 5, 1: the covariance is 0.
    #expect(abs(generated["pearson", default: 1]) < 1e-15 && generated["no_number_share"] == 2.0 / 3)
    #expect(TaskMetrics.regression.values(of: []).isEmpty)
  }

  @Test func correlations() {
    #expect(Correlation.ranks([3, 1, 3, 2, 3]) == [4, 1, 4, 2, 4])
    #expect(Correlation.spearman([1, 2, 3, 4], [1, 4, 9, 16]) == 1)
    #expect(Correlation.spearman([1, 2, 3], [3, 2, 1]) == -1)
    // Undefined: a list of equal numbers, whose rounded mean is another number.
    #expect(Correlation.pearson([0.1, 0.1, 0.1], [1, 2, 3]) == 0 && Correlation.pearson([], []) == 0)
    #expect(Correlation.pearson([1, .nan], [1, 2]).isNaN && Correlation.spearman([1, 2], [1, .infinity]).isNaN)
    #expect(abs(Correlation.pearson([1, 2, 3, 4], [2, 4, 6, 8.5]) - 0.9983814394570298) < 1e-14)
    #expect(Correlation.pearson([1e300, -1e300, 0], [1e-300, -1e-300, 0]) == 1)
  }

  // MARK: Text

  @Test func text() {
    let outcomes = [
      ExampleOutcome(.text("The cat sat"), Expectation(references: ["A dog ran", "the cats sat"])),
      ExampleOutcome(.text(" b\n"), Expectation(references: ["b"])),
    ]
    let found = TaskMetrics.text.values(of: outcomes, loss: 2)
    #expect(
      found.map(\.name) == ["exact_match", "rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "perplexity"])
    #expect(found[0].value == 0.5 && found[6].value == exp(2))
    // By its stem `cats` is found, and the second reference is the better one.
    #expect(found[1].value == 1)
    #expect(TaskMetrics.text.values(of: [], loss: 1).map(\.name) == ["perplexity"])
    #expect(TaskMetrics.text.values(of: []).isEmpty)
  }

  /// Each kind of score takes the reference that is best for it.
  @Test func bestReference() {
    let scores = Rouge.scores(of: "a b c d", against: ["d c b a", "a b", "x"])
    #expect(scores.rouge1.f == 1 && scores.rouge1.recall == 1)
    #expect(abs(scores.rouge2.f - 0.5) < 1e-15 && scores.rouge2.recall == 1)
    #expect(abs(scores.rougeL.f - 2.0 / 3) < 1e-15)
    let nothing = Rouge.Score(found: 0, predicted: 0, expected: 0)
    #expect(Rouge.scores(of: "a", against: []).rougeLsum == nothing)
    #expect(Rouge.scores(of: "", against: ["a"]).rouge1 == nothing)
    #expect(Rouge.scores(of: "?", against: ["!"]).rougeLsum == nothing)
  }

  /// Lines are sentences for ROUGE-Lsum alone.
  @Test func sentencesOfRouge() {
    let scores = Rouge.scores(of: "c d\na b", against: ["a b\nc d"])
    #expect(scores.rougeL.f == 0.5 && scores.rougeLsum.f == 1)
    // Only if both texts are split are all words in some common subsequence.
    for (answer, reference) in [("Cats. Ants.", "Ants cats."), ("Ants cats.", "Cats. Ants.")] {
      let outcome = ExampleOutcome(.text(answer), Expectation(references: [reference]))
      #expect(values(.text, [outcome])["rougeLsum"] == 1)
    }
  }

  @Test func rougeTokens() {
    #expect(
      Rouge.tokens(of: "The CATS' \u{212A}ilo-İstanbul é1_2 running ies") == [
        "the", "cat", "kilo", "i", "stanbul", "1", "2", "run", "ies",
      ])
    #expect(Rouge.tokens(of: "Running", stemmed: false) == ["running"])
  }

  /// Where NLTK's mode differs from Porter's paper.
  @Test func stems() {
    let words = [
      "dying": "die", "skies": "sky", "innings": "inning", "exceed": "exceed", "dies": "die", "flies": "fli",
      "died": "die", "spied": "spi", "enjoy": "enjoy", "happy": "happi", "fully": "fulli", "technology": "technolog",
      "geology": "geolog", "feed": "feed", "agreed": "agre", "hopping": "hop", "falling": "fall", "filing": "file",
      "yyyyyy": "yyyyyi", "2021": "2021", "ss": "ss", "generalization": "gener", "oscillators": "oscil",
    ]
    for (word, stem) in words {
      #expect(String(decoding: PorterStemmer.stem(Array(word.utf8)), as: UTF8.self) == stem, "\(word)")
    }
  }

  /// The counts of any split add up to those of the whole.
  @Test func bleuAddsUp() {
    let pairs = [
      ("the cat sat on the mat", "the cat is on the mat"), ("a dog", "a dog ran away"), ("", "x"),
      ("x y z u v", "x y z u v"),
    ]
    var whole = BLEU()
    for (prediction, reference) in pairs { whole.add(prediction, references: [reference]) }
    for ranks in 1...4 {
      var sum = BLEU()
      for rank in (0..<ranks).reversed() {
        var own = BLEU()
        for (number, pair) in pairs.enumerated() where number % ranks == rank { own.add(pair.0, references: [pair.1]) }
        sum.add(own)
      }
      #expect(sum == whole)
    }
    #expect(whole.score > 0 && whole.predictedLength == 13 && whole.referenceLength == 16)
  }

  @Test func bleuOfSeveralReferences() {
    var bleu = BLEU()
    // Lengths 2 and 4 are as close to 3: the shorter counts. A word counts as often as one reference has it.
    bleu.add("a a b", references: ["a b", "a a c d"])
    #expect(bleu.referenceLength == 2 && bleu.matches == [3, 2, 0, 0] && bleu.totals == [3, 2, 1, 0])
    var empty = BLEU()
    #expect(empty.score == 0 && empty.brevityPenalty == 1)
    empty.add("", references: ["a"])
    #expect(empty.score == 0 && empty.brevityPenalty == 0)
  }

  @Test(arguments: [
    ("It's 3.14, or -1.", ["It's", "3.14", ",", "or", "-1", "."]),
    ("a,b 1,000 1,b", ["a", ",", "b", "1,000", "1", ",", "b"]),
    ("5-6 a-b", ["5", "-", "6", "a-b"]),
    ("...", [".", ".", "."]),
    ("&amp;lt;p&gt; x", ["<", "p", ">", "x"]),
    ("long-\nword<skipped>s", ["longwords"]),
    ("(a)[b]{c}/d~", ["(", "a", ")", "[", "b", "]", "{", "c", "}", "/", "d", "~"]),
    ("a\u{A0}b\u{1F}c", ["a", "b", "c"]),
    (" \n", []),
  ])
  func bleuTokens(text: String, expected: [String]) {
    #expect(BLEUTokenizer.tokens(of: text) == expected)
  }
}
