import Foundation

/// From numbers to places on an axis, with round ticks.
struct PlotScale: Equatable {
  /// Numbers at both ends of the axis; on a logarithmic one their decimal logarithms.
  let start: Double
  let end: Double
  let isLogarithmic: Bool
  let ticks: [Double]

  /// - Parameters:
  ///   - values: what is to be shown; positive on a logarithmic axis.
  ///   - count: ticks that would be good.
  ///   - zero: whether the axis begins at 0.
  init(_ values: [Double], count: Int = 5, isLogarithmic: Bool = false, zero: Bool = false) {
    self.isLogarithmic = isLogarithmic
    let (low, high) = (values.min() ?? 0, values.max() ?? 1)
    guard !isLogarithmic else {
      // Room at both ends for marks and names.
      let (first, last) = (log10(low), log10(high))
      let margin = max(0.15, (last - first) * 0.1)
      (start, end) = (first - margin, last + margin)
      ticks = Self.powers(start, end)
      return
    }
    let bottom = zero ? min(0, low) : low
    // Numbers that differ by less than a billionth of their size are one number, whose neighbours ticks can tell apart.
    let size = max(abs(high), abs(bottom))
    let step = Self.step(high - bottom > size * 1e-9 ? high - bottom : max(size * 0.2, 1e-9), count)
    let first = (bottom / step).rounded(.down)
    let last = max((high / step).rounded(.up), first + 1)
    (start, end) = (first * step, last * step)
    ticks = (0...Int(last - first)).map { (first + Double($0)) * step }
  }

  /// The values without those far out, more than three times the distance of the quartiles beyond them (Tukey 1977, §2E), where no
  /// more than `most` would take more than half of the axis: an untrained start must not flatten what comes after it.
  static func withoutFarOut(_ values: [Double], most: Int) -> [Double] {
    guard values.count >= 8, let low = values.min(), let high = values.max() else { return values }
    let sorted = values.sorted()
    let (first, third) = (sorted[sorted.count / 4], sorted[sorted.count * 3 / 4])
    let reach = 3 * (third - first)
    let kept = values.filter { (first - reach...third + reach).contains($0) }
    guard values.count - kept.count <= most, let bottom = kept.min(), let top = kept.max(), top > bottom else {
      return values
    }
    return 2 * (top - bottom) < high - low ? kept : values
  }

  /// 1, 2 or 5 times a power of ten, so that about `count` of them make `length`.
  private static func step(_ length: Double, _ count: Int) -> Double {
    let rough = length / Double(count)
    let power = pow(10, log10(rough).rounded(.down))
    let factor = [1, 2, 5, 10].first { $0 * power >= rough * 0.999 } ?? 10
    return factor * power
  }

  /// Powers of ten between two logarithms; with 2 and 5 of each where there are few.
  private static func powers(_ start: Double, _ end: Double) -> [Double] {
    let all = stride(from: start.rounded(.down), through: end, by: 1).flatMap { exponent in
      [1, 2, 5].map { $0 * pow(10, exponent) }
    }.filter { (start...end).contains(log10($0)) }
    let tens = all.filter { abs(log10($0) - log10($0).rounded()) < 1e-9 }
    return tens.count >= 3 ? tens : all
  }

  /// 0 at the start of the axis, 1 at its end.
  func place(_ value: Double) -> Double {
    ((isLogarithmic ? log10(value) : value) - start) / (end - start)
  }

  /// A tick in as few signs as keep it apart from its neighbours: `0.25`, `20k`, `1.5M`.
  func label(_ tick: Double) -> String {
    let largest = max(abs(ticks.first ?? 0), abs(ticks.last ?? 0))
    if isLogarithmic || largest >= 10_000 {
      for (unit, name) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] where abs(tick) >= unit {
        return String(format: "%g", tick / unit) + name
      }
      return String(format: "%g", tick)
    }
    let step = ticks.count > 1 ? ticks[1] - ticks[0] : 1
    let decimals = max(0, Int((-log10(step) - 1e-9).rounded(.up)))
    return decimals > 5 ? String(format: "%.3g", tick) : String(format: "%.\(decimals)f", tick + 0)
  }
}
