/// How well two lists of numbers go together (scipy `stats/_stats_py.py`: `pearsonr`, `spearmanr`).
///
/// A correlation with a list whose numbers are all equal is undefined: 0 here, NaN in scipy. One that holds a number
/// which is not finite gives NaN.
public enum Correlation {
  /// Σ (x − x̄)(y − ȳ) ÷ √(Σ (x − x̄)² · Σ (y − ȳ)²), within [−1, 1].
  public static func pearson(_ x: [Double], _ y: [Double]) -> Double {
    precondition(x.count == y.count, "\(x.count) and \(y.count) numbers")
    guard (x + y).allSatisfy(\.isFinite) else { return .nan }
    // Equal numbers need not have themselves as their rounded mean.
    guard let firstX = x.first, let firstY = y.first, x.contains(where: { $0 != firstX }),
      y.contains(where: { $0 != firstY })
    else { return 0 }
    let (x, y) = (scaled(x), scaled(y))
    let count = Double(x.count)
    let (meanX, meanY) = (x.reduce(0, +) / count, y.reduce(0, +) / count)
    var (covariance, spreadX, spreadY) = (0.0, 0.0, 0.0)
    for (a, b) in zip(x, y) {
      covariance += (a - meanX) * (b - meanY)
      spreadX += (a - meanX) * (a - meanX)
      spreadY += (b - meanY) * (b - meanY)
    }
    let spread = (spreadX * spreadY).squareRoot()
    return spread > 0 ? min(max(covariance / spread, -1), 1) : 0
  }

  /// Divided by a power of two, which changes no digit, so that squares neither overflow nor vanish.
  private static func scaled(_ values: [Double]) -> [Double] {
    let largest = values.reduce(0) { max($0, abs($1)) }
    let factor = Double(sign: .plus, exponent: -min(max(Int(largest.exponent), -1000), 1000), significand: 1)
    return values.map { $0 * factor }
  }

  /// Pearson's correlation of the ranks; equal numbers share the mean of their ranks.
  public static func spearman(_ x: [Double], _ y: [Double]) -> Double {
    guard (x + y).allSatisfy(\.isFinite) else { return .nan }
    return pearson(ranks(x), ranks(y))
  }

  /// Ranks from 1 in ascending order.
  static func ranks(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { values[$0] < values[$1] }
    var ranks = [Double](repeating: 0, count: values.count)
    var start = 0
    while start < order.count {
      var end = start + 1
      while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
      for place in order[start..<end] { ranks[place] = Double(start + 1 + end) / 2 }
      start = end
    }
    return ranks
  }
}
