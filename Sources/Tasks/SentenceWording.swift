/// How one or two sentences become the text that a kind of model wants.
///
/// - text to text: T5's own wording for GLUE, `mrpc sentence1: … sentence2: …` (Raffel et al. 2020, appendix D;
///   `t5/data/preprocessors.py`, `glue`);
/// - classification: the sentences as they are;
/// - continuation: the sentences, numbered if there are two, and a line that asks for the answer and is never cut.
struct SentenceWording: Sendable {
  /// T5's name for the task.
  let taskName: String
  /// T5's names of the sentences.
  let sentenceNames: [String]
  /// What the prompt ends with, such as `Sentiment:`.
  let question: String

  func example(
    index: Int, id: String, sentences: [String], answer: String, label: Int? = nil, value: Float? = nil,
    options: TextOptions
  ) -> Example {
    let texts = sentences.map(options.apply)
    switch options.form {
    case .textToText where !options.keepsTextsApart:
      let parts = zip(sentenceNames, texts).flatMap { ["\($0):", $1] }
      return Example(
        index: index, id: id, source: ([taskName] + parts).joined(separator: " "), target: answer, label: label,
        value: value)
    case .classification, .textToText:
      return Example(
        index: index, id: id, source: texts[0], second: texts.count > 1 ? texts[1] : nil, target: answer,
        label: label, value: value)
    case .continuation:
      let source =
        texts.count == 1
        ? texts[0] : texts.enumerated().map { "Sentence \($0 + 1): \($1)" }.joined(separator: "\n")
      return Example(
        index: index, id: id, source: source, target: " \(answer)", label: label, value: value, tail: "\n\(question)",
        references: [answer])
    }
  }
}
