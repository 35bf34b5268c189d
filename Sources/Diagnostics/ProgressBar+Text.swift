import Foundation

extension ProgressBar.Reading {
  /// The reading as a line of a log: `step 120/1000 (12%), loss 0.6931, 4,512 tokens/s, 1:23 left`.
  public var line: String {
    ([count + " (\(percent)%)"] + [lossText, tokensText, leftText].compactMap { $0 }).joined(separator: ", ")
  }

  /// The reading as a terminal line: `step 120/1000 [=>   ] 12%  loss 0.6931  4,512 tokens/s  1:23 left`.
  ///
  /// Never longer than `width` - 1 characters, so that a terminal does not wrap it. As room gets scarce the
  /// bar goes first, then the speed, the time left and the loss.
  public func bar(width: Int) -> String {
    let room = max(0, width - 1)
    let fields = [lossText, tokensText, leftText]
    // Fields that stay, best first; the order on the line is always the same.
    for kept in [[0, 1, 2], [0, 2], [0], []] {
      let shown = kept.compactMap { fields[$0] }.map { "  " + $0 }.joined()
      let text = "\(count) \(percent)%\(shown)"
      guard text.count <= room else { continue }
      let barRoom = room - text.count - 3
      guard kept.count == fields.count, barRoom >= 10 else { return text }
      return "\(count) [\(drawing(columns: min(barRoom, 40)))] \(percent)%\(shown)"
    }
    return String(count.prefix(room))
  }

  private var count: String { "\(name) \(step)/\(total)" }

  /// From 0 to 1; nothing to do counts as done.
  private var fraction: Double { total > 0 ? min(1, max(0, Double(step) / Double(total))) : 1 }

  /// Rounded down: 100 only when all is done.
  private var percent: Int { Int(fraction * 100) }

  private var lossText: String? { loss.map { "loss " + ReadableNumbers.loss($0) } }

  private var tokensText: String? {
    guard let speed = tokensPerSecond, speed.isFinite, abs(speed) < 1e15 else { return nil }
    return ReadableNumbers.grouped(Int(speed.rounded())) + " tokens/s"
  }

  private var leftText: String? { secondsLeft.map { ReadableNumbers.duration(seconds: $0) + " left" } }

  private func drawing(columns: Int) -> String {
    let filled = Int(fraction * Double(columns))
    if filled == columns { return String(repeating: "=", count: columns) }
    return String(repeating: "=", count: filled) + ">"
      + String(repeating: " ", count: columns - filled - 1)
  }
}
