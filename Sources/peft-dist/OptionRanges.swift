import ArgumentParser

/// Counts on the command line, none of which may be so large that a product or sum of two overflows.
enum OptionRanges {
  static let most = 1 << 31 - 1

  /// - Throws: `ValidationError` naming the option, its value and its range.
  static func check(_ counts: [(flag: String, value: Int?, least: Int)], most: Int = most) throws {
    for (flag, value, least) in counts {
      guard let value, !(least...most).contains(value) else { continue }
      throw ValidationError("\(flag) \(value): expected \(least) to \(most)")
    }
  }
}
