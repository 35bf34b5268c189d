import Foundation

/// Classification of a sentence or a pair of sentences into labels of the user's own.
///
/// Data: the columns `sentence1`, `label`, and `sentence2` for pairs. The labels are those of `options`, in the order
/// of their numbers, which the data may write as well; without them those that occur in the training data, sorted by
/// number if all are whole numbers, by their bytes otherwise and among equal numbers.
public struct PairTask: SentenceTask {
  public let name = "pair"
  public let labels: [String]
  public let options: TextOptions
  let sentences = [DataColumn("sentence1"), DataColumn("sentence2", isRequired: false)]
  let wording = SentenceWording(
    taskName: "classify", sentenceNames: ["sentence1", "sentence2"], question: "Label:")

  /// More different labels than this are taken for something else.
  static let mostLabels = 1000

  public init(options: TextOptions = TextOptions()) {
    self.options = options
    labels = options.labelNames
  }

  public func resolved(with location: URL) throws -> any TextTask {
    guard labels.isEmpty else { return self }
    var options = options
    options.labelNames = try Self.labels(in: location)
    return PairTask(options: options)
  }

  /// The rows; either all have a second sentence or none has.
  ///
  /// - Throws: `DataError.unnamedLabels` if the task was not resolved.
  public func examples(at location: URL) throws -> [Example] {
    guard !labels.isEmpty else { throw DataError.unnamedLabels(task: name) }
    var examples: [Example] = []
    var isPair: Bool?
    let names = LabelNames(labels)
    try RowReader.forEachRow(of: location, columns: [.id] + sentences + [names.column]) { row in
      let texts = sentences.compactMap { row.optionalText($0.name) }
      if texts.isPair != isPair ?? texts.isPair {
        throw DataError.malformedRow(
          location, line: row.line,
          reason: "expected \(texts.isPair ? "no" : "a") \"sentence2\" as in the lines before, found "
            + "\(texts.isPair ? "one" : "none"); give every row a second sentence, or none")
      }
      isPair = texts.isPair
      let label = try names.label(of: row, in: location)
      examples.append(
        wording.example(
          index: examples.count, id: row.id, sentences: texts, answer: labels[label], label: label, options: options))
    }
    return examples
  }

  private static func labels(in location: URL) throws -> [String] {
    // By code points: a set of Strings would make one of canonically equivalent labels.
    var found: Set<[UInt8]> = []
    let unnamed = LabelNames([])
    try RowReader.forEachRow(of: location, columns: [unnamed.column]) { row in
      let word = unnamed.word(of: row)
      // An empty field, or what a program wrote that had no label.
      if ["", "-1", "nan", "none", "null"].contains(word.lowercased()) {
        throw DataError.unknownLabel(
          location, line: row.line, found: "\"\(word)\"",
          known: "the labels of the data, but that stands for a missing one (--label-names would allow it)")
      }
      found.insert(Array(word.utf8))
      if found.count > mostLabels {
        throw DataError.notText(
          location,
          reason: "more than \(mostLabels) different labels up to line \(row.line); "
            + "for numbers there is the task regression")
      }
    }
    guard found.count > 1 else {
      throw DataError.notText(
        location,
        reason:
          "all labels are \"\(String(decoding: found.first ?? [], as: UTF8.self))\"; expected at least two, or their names: --label-names no,yes"
      )
    }
    // A set has an order by chance, and one number may be written in several ways: their bytes decide then.
    let names = found.sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) }
    let numbers = names.compactMap { Int($0) }
    guard numbers.count == names.count else { return names }
    return names.indices.sorted { (numbers[$0], $0) < (numbers[$1], $1) }.map { names[$0] }
  }
}

extension [String] {
  fileprivate var isPair: Bool { count > 1 }
}
