import Foundation

/// Abstracts of scientific papers and summaries of one sentence (Cachola et al. 2020, "TLDR: extreme summarization of
/// scientific documents").
///
/// Data: JSONL with the columns `source` (a list of sentences, joined by a space) and `target` (a list of summaries),
/// and `paper_id` if there is one. The first summary is trained on; ROUGE is that against the best of all (section 5.1
/// of the paper: the maximum over the references), and the best adapter is chosen by ROUGE-L.
public struct SciTLDRTask: SummaryTask {
  public let name = "scitldr"
  public let metric = TaskMetric.rougeL
  public let options: TextOptions

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }

  public var textColumns: [String] { ["source"] }

  public func documents(at location: URL) throws -> [SummaryDocument] {
    var documents: [SummaryDocument] = []
    let columns = [
      DataColumn("paper_id", .word, isRequired: false), DataColumn("source", .texts), DataColumn("target", .texts),
    ]
    try RowReader.forEachRow(of: location, columns: columns) { row in
      let summaries = row.texts("target").map(options.apply)
      guard !summaries.isEmpty else {
        throw DataError.wrongType(
          location, line: row.line, column: "target", expected: "a list of at least one summary")
      }
      let sentences = row.texts("source").map(options.apply)
      documents.append(
        SummaryDocument(
          id: row.optionalText("paper_id") ?? String(row.line), text: sentences.joined(separator: " "),
          summaries: summaries, givenSentences: sentences))
    }
    return documents
  }
}
