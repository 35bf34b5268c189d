import Foundation

/// A document and the summaries that people wrote of it.
public struct SummaryDocument: Sendable, Equatable {
  /// The data's own name for it, or its line number.
  public let id: String
  public let text: String
  /// At least one; the first is trained on.
  public let summaries: [String]
  /// The sentences as the data has them; nil if it has none.
  let givenSentences: [String]?

  /// The document's sentences: those of the data, or what ``SentenceSplitter`` finds.
  public var sentences: [String] { givenSentences ?? SentenceSplitter.sentences(of: text) }
}

/// A task whose rows are documents and their summaries.
///
/// - text to text: `summarize: DOCUMENT` (Raffel et al. 2020, appendix D);
/// - continuation: the document, `TL;DR:` on a line of its own, which is never cut, and the summary behind a space
///   (Radford et al. 2019, section 3.6).
public protocol SummaryTask: TextTask {
  /// All documents of a file, in a fixed order, texts as `options` want them.
  ///
  /// - Throws: `DataError`, naming file and line.
  func documents(at location: URL) throws -> [SummaryDocument]
}

extension SummaryTask {
  public var labels: [String] { [] }
  public var metrics: TaskMetrics { .text }
  public var forms: [ExampleForm] { [.textToText, .continuation] }

  public func examples(at location: URL) throws -> [Example] {
    try documents(at: location).enumerated().map { index, document in
      example(index, id: document.id, text: document.text, summaries: document.summaries)
    }
  }

  public func question(_ texts: [String], index: Int) -> Example {
    example(index, id: "\(index + 1)", text: options.apply(texts[0]), summaries: [""])
  }

  private func example(_ index: Int, id: String, text: String, summaries: [String]) -> Example {
    let continues = options.form == .continuation
    return Example(
      index: index, id: id, source: continues ? text : "summarize: \(text)",
      target: continues ? " \(summaries[0])" : summaries[0], tail: continues ? "\nTL;DR:" : "", references: summaries)
  }
}
