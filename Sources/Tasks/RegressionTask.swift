import Foundation

/// A number for a sentence or a pair of sentences, such as how similar two sentences are from 0 to 5 (STS-B: Cer et al.
/// 2017, "SemEval-2017 task 1"; part of GLUE).
///
/// Data: the columns `sentence1`, a finite number `label` or `score`, and `sentence2` for pairs. A model that writes
/// text writes the number rounded to a fifth, and T5 knows the task as `stsb` (Raffel et al. 2020, section 2.4); it is
/// judged by the number of the data.
public struct RegressionTask: TextTask {
  public let name = "regression"
  public let labels: [String] = []
  public let metrics = TaskMetrics.regression
  public let metric = TaskMetric.spearman
  public let options: TextOptions

  private static let wording = SentenceWording(
    taskName: "stsb", sentenceNames: ["sentence1", "sentence2"], question: "Score:")

  public init(options: TextOptions = TextOptions()) {
    self.options = options
  }

  private static let sentences = [DataColumn("sentence1"), DataColumn("sentence2", isRequired: false)]
  public var textColumns: [String] { Self.sentences.map(\.name) }
  public func columns(at location: URL) throws -> [String] { try RowReader.columns(Self.sentences, at: location) }

  public func question(_ texts: [String], index: Int) -> Example {
    Self.wording.example(index: index, id: "\(index + 1)", sentences: texts, answer: "", value: 0, options: options)
  }

  public func examples(at location: URL) throws -> [Example] {
    do { return try examples(at: location, valueColumn: "label") } catch let error as DataError {
      switch error {
      case .missingColumn(_, 1, "label"), .missingHeader(_, "label", _):
        // The first row decides which of the two names the data uses.
        do { return try examples(at: location, valueColumn: "score") } catch let second as DataError {
          switch second {
          case .missingColumn(_, 1, "score"), .missingHeader(_, "score", _): throw error
          default: throw second
          }
        }
      default: throw error
      }
    }
  }

  private func examples(at location: URL, valueColumn: String) throws -> [Example] {
    var examples: [Example] = []
    let columns = [
      .id, DataColumn("sentence1"), DataColumn("sentence2", isRequired: false),
      DataColumn(valueColumn, .number, expected: "a finite number"),
    ]
    try RowReader.forEachRow(of: location, columns: columns) { row in
      let number = row.number(valueColumn)
      let value = Float(number)
      guard value.isFinite else {
        throw DataError.wrongType(location, line: row.line, column: valueColumn, expected: "a finite number")
      }
      examples.append(
        Self.wording.example(
          index: examples.count, id: row.id,
          sentences: ["sentence1", "sentence2"].compactMap(row.optionalText), answer: Self.words(number), value: value,
          options: options))
    }
    return examples
  }

  /// `2.8` for 2.75: the nearest fifth, to even between two (T5: `t5/data/preprocessors.py`, `stsb`).
  static func words(_ value: Double) -> String {
    let fifths = (value * 5).rounded(.toNearestOrEven) / 5
    return String(format: "%.1f", fifths == 0 ? 0 : fifths)
  }
}
