/// How often each label was answered with each label: integers, so that any split over ranks adds up to the
/// same.
///
/// Let C[t][p] count the examples of label t answered with p; an answer that is no label has a column of its
/// own and is wrong whatever t is. Source of the formulas: scikit-learn `metrics/_classification.py`.
public struct ClassificationCounts: Sendable, Equatable {
  public let labelCount: Int
  /// Row by row: label t, answered with 0 ..< labelCount, then no label. labelCount × (labelCount + 1).
  public private(set) var cells: [Int]

  public init(labelCount: Int) {
    precondition(labelCount > 0, "\(labelCount) labels")
    self.labelCount = labelCount
    cells = [Int](repeating: 0, count: labelCount * (labelCount + 1))
  }

  /// Counts added up elsewhere, in the order of `cells`.
  public init(labelCount: Int, cells: [Int]) {
    precondition(
      cells.count == labelCount * (labelCount + 1), "\(cells.count) cells for \(labelCount) labels")
    self.labelCount = labelCount
    self.cells = cells
  }

  /// Counts one example; `predicted` nil: the answer is no label.
  public mutating func record(expected: Int, predicted: Int?) {
    precondition((0..<labelCount).contains(expected), "label \(expected) of \(labelCount)")
    cells[expected * (labelCount + 1) + (predicted ?? labelCount)] += 1
  }

  public mutating func add(_ other: ClassificationCounts) {
    precondition(other.labelCount == labelCount, "counts of \(other.labelCount) and \(labelCount) labels")
    for index in cells.indices { cells[index] += other.cells[index] }
  }

  public var total: Int { cells.reduce(0, +) }

  /// Answers that are the expected label.
  public var correct: Int { (0..<labelCount).reduce(0) { $0 + self[$1, $1] } }

  /// Answers that are no label.
  public var unanswered: Int { (0..<labelCount).reduce(0) { $0 + self[$1, labelCount] } }

  public var accuracy: Double { ratio(correct, total) }
  public var unansweredShare: Double { ratio(unanswered, total) }

  /// Share of the answers `label` that are right; 0 where that is undefined.
  public func precision(of label: Int) -> Double { ratio(self[label, label], predictedCount(label)) }

  /// Share of the examples of `label` that were answered so; 0 where that is undefined.
  public func recall(of label: Int) -> Double { ratio(self[label, label], expectedCount(label)) }

  /// How the F1 scores of the labels become one number.
  public enum Averaging: Sendable {
    /// F1 of label 1.
    case binary
    /// Mean over the labels that occur, as expected or as answer.
    case macro
    /// From the counts of all labels together.
    case micro
    /// Mean weighted by how often a label is expected.
    case weighted
  }

  /// F1 = 2 TP ÷ (2 TP + FP + FN); 0 where that is undefined.
  public func f1(_ averaging: Averaging) -> Double {
    switch averaging {
    case .binary:
      precondition(labelCount == 2, "binary F1 of \(labelCount) labels")
      return f1(of: 1)
    case .macro:
      let occurring = (0..<labelCount).filter { expectedCount($0) + predictedCount($0) > 0 }
      guard !occurring.isEmpty else { return 0 }
      return occurring.reduce(0.0) { $0 + f1(of: $1) } / Double(occurring.count)
    case .micro:
      return ratio(2 * correct, total + total - unanswered)
    case .weighted:
      guard total > 0 else { return 0 }
      return (0..<labelCount).reduce(0.0) { $0 + f1(of: $1) * Double(expectedCount($1)) } / Double(total)
    }
  }

  /// Matthews' correlation in its form for many labels; 0 where it is undefined.
  ///
  /// With s examples, c correct, t_k expected and p_k answered as k:
  /// (c s − Σ t_k p_k) ÷ √((s² − Σ p_k²)(s² − Σ t_k²)). Source: Gorodkin 2004.
  public var matthewsCorrelation: Double {
    let s = total
    let t = (0..<labelCount).map(expectedCount)
    let p = (0...labelCount).map(predictedCount)
    let covariance = correct * s - zip(t, p).reduce(0) { $0 + $1.0 * $1.1 }
    let spreadPredicted = s * s - p.reduce(0) { $0 + $1 * $1 }
    let spreadExpected = s * s - t.reduce(0) { $0 + $1 * $1 }
    guard spreadPredicted > 0, spreadExpected > 0 else { return 0 }
    return Double(covariance) / (Double(spreadPredicted) * Double(spreadExpected)).squareRoot()
  }

  private subscript(expected: Int, predicted: Int) -> Int { cells[expected * (labelCount + 1) + predicted] }
  private func expectedCount(_ label: Int) -> Int { (0...labelCount).reduce(0) { $0 + self[label, $1] } }
  private func predictedCount(_ label: Int) -> Int { (0..<labelCount).reduce(0) { $0 + self[$1, label] } }

  private func f1(of label: Int) -> Double {
    ratio(2 * self[label, label], expectedCount(label) + predictedCount(label))
  }

  private func ratio(_ part: Int, _ whole: Int) -> Double { whole == 0 ? 0 : Double(part) / Double(whole) }
}
