import Foundation

/// How long the examples of a data set are, in tokens, end-of-sequence included.
public struct LengthStatistics: Sendable, Equatable, CustomStringConvertible {
  public let count: Int
  public let meanSource: Double
  /// The middle source length; of an even number, the mean of the two in the middle.
  public let medianSource: Double
  /// The smallest length that at least 90 % of the sources do not exceed.
  public let source90: Int
  public let maxSource: Int
  public let meanTarget: Double
  public let maxTarget: Int
  /// Sources that were cut.
  public let cutCount: Int
  /// Targets that were cut.
  public let cutTargetCount: Int

  /// Share of the sources that were cut.
  public var cutShare: Double { count == 0 ? 0 : Double(cutCount) / Double(count) }

  public init(_ lengths: [EncodedDataset.Lengths]) {
    count = lengths.count
    let sources = lengths.map(\.source).sorted()
    let divisor = Double(max(count, 1))
    meanSource = Double(sources.reduce(0, +)) / divisor
    meanTarget = Double(lengths.map(\.target).reduce(0, +)) / divisor
    maxSource = sources.last ?? 0
    source90 = sources.isEmpty ? 0 : sources[(9 * count + 9) / 10 - 1]
    medianSource = sources.isEmpty ? 0 : Double(sources[(count - 1) / 2] + sources[count / 2]) / 2
    maxTarget = lengths.map(\.target).max() ?? 0
    cutCount = lengths.count { $0.uncutSource > $0.source }
    cutTargetCount = lengths.count { $0.uncutTarget > $0.target }
  }

  public init(_ dataset: EncodedDataset, indices: some Sequence<Int>) {
    self.init(dataset.lengths(of: indices))
  }

  public var description: String {
    guard count > 0 else { return "no examples" }
    return String(
      format:
        "%d examples; source tokens: mean %.1f, median %g, 90 %% up to %d, longest %d; %d cut (%.1f %%); "
        + "target tokens: mean %.1f, longest %d; %d cut (%.1f %%)",
      count, meanSource, medianSource, source90, maxSource, cutCount, 100 * cutShare, meanTarget, maxTarget,
      cutTargetCount,
      100 * Double(cutTargetCount) / Double(count))
  }

  /// What the limits took, for a command that says nothing else of lengths; nil for nothing.
  public var cuts: String? {
    let parts = [(cutCount, "sources", "--max-source-length"), (cutTargetCount, "targets", "--max-target-length")]
      .filter { $0.0 > 0 }.map { "\($0.0) of \(count) \($0.1) are cut (\($0.2))" }
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }
}
