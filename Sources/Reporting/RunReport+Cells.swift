import Diagnostics
import Foundation

/// The cells of the report's table, the same in Markdown and HTML.
extension RunReport {
  struct Column {
    let title: String
    /// Whether cells hold numbers, which stand on the right.
    var isNumber = true
    /// Whether cells may hold words, which take several lines where room is short.
    var isWords = false
    let text: (RunRecord) -> String
    /// The number of which the smallest (or largest) is set off; nil where none is.
    var rank: ((RunRecord) -> Double?)?
    var smallestIsBest = true
  }

  static let unknown = "–"

  var columns: [Column] {
    var columns = [
      Column(title: "run", isNumber: false, text: { $0.name }),
      Column(title: "learning rate", isWords: true, text: { $0.learningRate ?? Self.unknown }),
      Column(
        title: "trained parameters",
        text: { $0.trainableParameters.map { ReadableNumbers.grouped($0) } ?? Self.unknown },
        rank: { $0.trainableParameters.map(Double.init) }),
      Column(title: "share", text: { $0.trainableShare.map(Self.percent) ?? Self.unknown }),
      Column(
        title: "adapter", text: { $0.adapterBytes.map { ReadableNumbers.bytes($0) } ?? Self.unknown },
        rank: { $0.adapterBytes.map(Double.init) }),
      Column(
        title: "best \(metric)", text: { Self.score($0.bestValue) }, rank: { $0.bestValue },
        smallestIsBest: !largerIsBetter),
      Column(title: "at step", text: { $0.bestStep.map { ReadableNumbers.grouped($0) } ?? Self.unknown }),
      Column(
        title: "last loss", text: { Self.score($0.evaluations.last?.loss) }, rank: { $0.evaluations.last?.loss }),
    ]
    if hasTest {
      columns.append(
        Column(
          title: "test \(metric)", text: { Self.score($0.testValue) }, rank: { $0.testValue },
          smallestIsBest: !largerIsBetter))
    }
    columns += [
      Column(
        title: "time per epoch", text: { $0.secondsPerEpoch.map(Self.duration) ?? Self.unknown },
        rank: { $0.secondsPerEpoch }),
      Column(
        title: "memory per rank",
        text: { $0.peakMegabytes.max().map { "\(ReadableNumbers.grouped($0)) MiB" } ?? Self.unknown },
        rank: { $0.peakMegabytes.max().map(Double.init) }),
    ]
    return columns
  }

  /// Rows of the table that a column sets off; none where all are equal.
  func bestRows(_ column: Column) -> Set<Int> {
    guard let rank = column.rank else { return [] }
    let values = runs.map(rank)
    let known = values.compactMap(\.self)
    guard let best = column.smallestIsBest ? known.min() : known.max(), known.contains(where: { $0 != best }) else {
      return []
    }
    return Set(values.indices.filter { values[$0] == best })
  }

  // MARK: Numbers

  static func score(_ value: Double?) -> String { value.map { ReadableNumbers.loss($0) } ?? unknown }

  /// A share with three significant digits or so.
  static func percent(_ share: Double) -> String {
    String(format: share >= 0.1 ? "%.1f %%" : share >= 0.001 ? "%.2f %%" : "%.4f %%", 100 * share)
  }

  static func duration(_ seconds: Double) -> String {
    seconds < 100
      ? String(format: seconds < 10 ? "%.2f s" : "%.1f s", seconds) : ReadableNumbers.duration(seconds: seconds)
  }

  // MARK: The course

  /// Steps after which some run was evaluated, at most `count`: spread evenly, the last one in.
  func sampledSteps(_ count: Int) -> [Int] {
    let all = Set(runs.flatMap { $0.evaluations.map(\.step) }).sorted()
    guard all.count > count else { return all }
    return (1...count).map { all[all.count * $0 / count - 1] }
  }

  /// `100 (epoch 0.13)`
  func stepTitle(_ step: Int) -> String {
    let epoch = runs.lazy.flatMap(\.evaluations).first { $0.step == step }?.epoch
    return "\(step)" + (epoch.map { String(format: " (epoch %.4g)", $0) } ?? "")
  }
}
