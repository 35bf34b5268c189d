import TensorCore

/// Summaries that need no model, which any model should beat.
public enum SummaryBaseline: String, Sendable, CaseIterable {
  /// The first three sentences of the document, a strong one for news (Nallapati et al. 2017).
  case lead = "lead-3"
  /// Three sentences drawn at random, in the order of the document.
  case random = "random-3"

  /// Sentences of a summary.
  static let length = 3
  /// Fixed, so that a data set has one random baseline.
  static let seed: UInt64 = 42

  /// The sentences that stand for a summary, each on a line of its own.
  ///
  /// - Parameter index: place of the document in the data, which the draw depends on.
  public func summary(of document: SummaryDocument, index: Int) -> String {
    let sentences = document.sentences
    switch self {
    case .lead: return sentences.prefix(Self.length).joined(separator: "\n")
    case .random:
      return Self.draw(count: sentences.count, index: index).map { sentences[$0] }.joined(separator: "\n")
    }
  }

  /// Places of three sentences of `count`, ascending: the first places of a random order.
  private static func draw(count: Int, index: Int) -> [Int] {
    let generator = CounterGenerator(seed: seed, purpose: .sampling, step: UInt64(index))
    var order = Array(0..<count)
    for place in 0..<min(length, count) {
      order.swapAt(place, place + generator.integer(at: UInt64(place), below: count - place))
    }
    return order.prefix(length).sorted()
  }

  /// The scores that a model's summaries get from ``TaskMetrics/text``, for the summaries of this baseline.
  public func scores(of documents: [SummaryDocument]) -> [(name: String, value: Double)] {
    TaskMetrics.text.values(
      of: documents.enumerated().map { index, document in
        ExampleOutcome(.text(summary(of: document, index: index)), Expectation(references: document.summaries))
      })
  }
}
