/// Composes leaves from the examples of a batch, and puts leaves in the order in which workers get them.
///
/// Both are longest-processing-time-first: the most expensive item goes to the least loaded leaf, the most
/// expensive leaf to the first free worker. Every tie is broken by the lower number, so that the result is a
/// pure function of the costs.
/// Source: Graham 1969, "Bounds on multiprocessing timing anomalies" (load at most 4/3 − 1/(3m) of the
/// optimum).
public enum LeafPlanner {
  /// The examples of each leaf, as ascending indices into the batch.
  ///
  /// Number of leaves: ⌈Σ costs ÷ leafTokens⌉, rounded up to a power of two up to 8 and to a multiple of 8 above, so
  /// that 2, 4 or 8 workers finish together; at most one per example.
  /// - Parameters:
  ///   - costs: tokens of each example of the batch, in batch order.
  ///   - leafTokens: tokens a leaf should hold.
  public static func leaves(costs: [Int], leafTokens: Int) -> [[Int]] {
    let count = leafCount(costs: costs, leafTokens: leafTokens)
    return distribute(costs, over: count).map { $0.sorted() }
  }

  /// Numbers of items, the most expensive first.
  public static func order(costs: [Int]) -> [Int] {
    costs.indices.sorted { costs[$0] == costs[$1] ? $0 < $1 : costs[$0] > costs[$1] }
  }

  static func leafCount(costs: [Int], leafTokens: Int) -> Int {
    precondition(leafTokens > 0, "leafTokens \(leafTokens)")
    precondition(costs.allSatisfy { $0 >= 0 }, "a negative cost in \(costs)")
    let wanted = max(1, (costs.reduce(0, +) + leafTokens - 1) / leafTokens)
    let rounded = [1, 2, 4].first { wanted <= $0 } ?? (wanted + 7) / 8 * 8
    return min(rounded, costs.count)
  }

  /// Bins of item numbers, in the order in which the items were placed.
  private static func distribute(_ costs: [Int], over binCount: Int) -> [[Int]] {
    var bins = [[Int]](repeating: [], count: binCount)
    var loads = [Int](repeating: 0, count: binCount)
    for item in order(costs: costs) {
      let least = loads.indices.min {
        (loads[$0], bins[$0].count, $0) < (loads[$1], bins[$1].count, $1)
      }
      guard let least else { break }
      bins[least].append(item)
      loads[least] += costs[item]
    }
    return bins
  }
}
