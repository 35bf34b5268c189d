/// Texts from files and arguments inside of messages.
public enum ReadableText {
  private static let longestLine = 2000
  private static let mostLines = 60

  /// `text` with no line longer than a screen takes, and no character that would steer the terminal.
  public static func forTerminal(_ text: String) -> String {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
      let scalars = line.unicodeScalars
      guard scalars.count > longestLine else { return String(line) }
      let kept = longestLine / 2
      return
        "\(String(scalars.prefix(kept))) … \(scalars.count - longestLine) characters … \(String(scalars.suffix(kept)))"
    }
    if lines.count > mostLines {
      let kept = mostLines / 2
      lines = lines.prefix(kept) + ["… \(lines.count - mostLines) lines …"] + lines.suffix(kept)
    }
    var result = String.UnicodeScalarView()
    for scalar in lines.joined(separator: "\n").unicodeScalars {
      if scalar.properties.generalCategory == .control, scalar != "\n", scalar != "\t" {
        result.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
      } else {
        result.append(scalar)
      }
    }
    return String(result)
  }
}
