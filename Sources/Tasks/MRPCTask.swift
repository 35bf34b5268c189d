/// Whether two sentences of the news say the same (Dolan and Brockett 2005, "Automatically constructing a corpus of
/// sentential paraphrases"; part of GLUE).
///
/// Data: the columns `sentence1`, `sentence2` and `label` (1 equivalent, 0 not). F1 is that of the paraphrases, as GLUE
/// reports it beside the accuracy.
public struct MRPCTask: SentenceTask {
  public let name = "mrpc"
  public let labels = ["not_equivalent", "equivalent"]
  public let options: TextOptions
  let sentences = [DataColumn("sentence1"), DataColumn("sentence2")]
  let wording = SentenceWording(
    taskName: "mrpc", sentenceNames: ["sentence1", "sentence2"], question: "Same meaning or not:")

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }
}
