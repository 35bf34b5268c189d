/// Whether a text entails a hypothesis (Dagan et al. 2006 and the challenges after it, "The PASCAL recognising textual
/// entailment challenge"; part of GLUE).
///
/// Data: the columns `sentence1` (the text), `sentence2` (the hypothesis) and `label`: `entailment` or
/// `not_entailment`, or GLUE's numbers for them, 0 and 1.
public struct RTETask: SentenceTask {
  public let name = "rte"
  public let labels = ["entailment", "not_entailment"]
  public let options: TextOptions
  let sentences = [DataColumn("sentence1"), DataColumn("sentence2")]
  let wording = SentenceWording(
    taskName: "rte", sentenceNames: ["sentence1", "sentence2"], question: "Does the first entail the second:")

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }
}
