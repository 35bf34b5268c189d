/// Phrases and sentences of film reviews, positive or negative (Socher et al. 2013, "Recursive deep models for semantic
/// compositionality over a sentiment treebank"; part of GLUE).
///
/// Data: the columns `sentence` and `label` (1 positive, 0 negative).
public struct SST2Task: SentenceTask {
  public let name = "sst2"
  public let labels = ["negative", "positive"]
  public let options: TextOptions
  let sentences = [DataColumn("sentence")]
  let wording = SentenceWording(taskName: "sst2", sentenceNames: ["sentence"], question: "Sentiment:")

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }
}
