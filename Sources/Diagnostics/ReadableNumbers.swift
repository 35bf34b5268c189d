import Foundation

/// Numbers as people read them in a progress line or a summary.
public enum ReadableNumbers {
  /// A duration as `1:23:45`, or `23:45` below one hour; hours are not folded into days. Rounded to whole
  /// seconds.
  ///
  /// A negative, infinite or unknown (NaN) duration reads `--:--`.
  public static func duration(seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "--:--" }
    let whole = Int(seconds.rounded())
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
    if hours == 0 { return "\(minutes):\(padded(rest))" }
    return "\(hours):\(padded(minutes)):\(padded(rest))"
  }

  /// A whole number with thousands set apart: `1,234,567`.
  public static func grouped(_ number: Int) -> String {
    let digits = String(number.magnitude)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return number < 0 ? "-" + text : text
  }

  /// A loss with four decimals, or in powers of ten where that would show nothing or too much; `nan`, `inf`
  /// as such.
  public static func loss(_ loss: Double) -> String {
    guard loss.isFinite else { return loss.isNaN ? "nan" : loss < 0 ? "-inf" : "inf" }
    let magnitude = abs(loss)
    let plain = magnitude == 0 || (magnitude >= 0.001 && magnitude < 1e5)
    return String(format: plain ? "%.4f" : "%.3e", loss)
  }

  /// A size as `950 B`, `1.2 MB` or `17.4 GB`, in powers of a thousand.
  public static func bytes(_ count: Int) -> String {
    var (value, unit) = (Double(count), "B")
    for larger in ["kB", "MB", "GB", "TB"] where value >= 999.5 { (value, unit) = (value / 1000, larger) }
    return unit == "B" ? "\(count) B" : String(format: value < 99.95 ? "%.1f %@" : "%.0f %@", value, unit)
  }

  private static func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
