import Foundation

/// News articles and their highlights (Hermann et al. 2015; See et al. 2017, "Get to the point").
///
/// Data: the columns `article` and `highlights`, one highlight a line, and `id` if there is one, as JSONL or CSV. The
/// best is chosen by ROUGE-Lsum, which the papers on this data call ROUGE-L.
public struct CNNDailyMailTask: SummaryTask {
  public let name = "cnn_dailymail"
  public let metric = TaskMetric.rougeLsum
  public let options: TextOptions

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }

  public var textColumns: [String] { ["article"] }

  public func documents(at location: URL) throws -> [SummaryDocument] {
    var documents: [SummaryDocument] = []
    let columns = [.id, DataColumn("article"), DataColumn("highlights")]
    try RowReader.forEachRow(of: location, columns: columns) { row in
      let text = options.apply(row.text("article"))
      documents.append(
        SummaryDocument(
          id: row.id, text: text, summaries: [options.apply(row.text("highlights"))], givenSentences: nil))
    }
    return documents
  }
}
