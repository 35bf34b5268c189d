/// The style sheet of plots: colours by variables, for light and for dark.
enum PlotStyle {
  static let colourCount = 8

  /// Hues of Okabe and Ito (2008), which people who see fewer colours keep apart, in lightnesses that stand out from a
  /// light ground, and from a dark one.
  private static let light = ["#0072b2", "#c4500c", "#00805c", "#a8457f", "#8a6700", "#5b5fc7", "#3f7f9f", "#5f6670"]
  private static let dark = ["#5cb8f0", "#ff8f5a", "#35c79a", "#ea93c4", "#e8c04a", "#a5a8ff", "#8fd3e8", "#b4bcc6"]

  private static func variables(_ colours: [String], _ others: String) -> String {
    colours.enumerated().map { "--series-\($0): \($1);" }.joined(separator: " ") + " " + others
  }

  /// Variables on a light ground.
  static let lightVariables = variables(
    light,
    "--page: #f6f7f8; --card: #ffffff; --ink: #1b1f24; --soft: #5a6370; --line: #dfe3e8; --grid: #e9ecef; --mark: #fff7db;"
  )
  /// Variables on a dark ground.
  static let darkVariables = variables(
    dark,
    "--page: #14171a; --card: #1c2024; --ink: #e8eaed; --soft: #a0a8b2; --line: #343a41; --grid: #2a2f35; --mark: #37321f;"
  )

  static let root =
    ":root { color-scheme: light dark; \(lightVariables) } "
    + "@media (prefers-color-scheme: dark) { :root { \(darkVariables) } }"

  static let rules: String = {
    let series = (0..<colourCount).map { ".s\($0) { color: var(--series-\($0)); }" }.joined(separator: " ")
    return """
      \(series)
      .plot { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
      .plot .grid { stroke: var(--grid); } .plot .axis { stroke: var(--soft); }
      .plot .tick { fill: var(--soft); } .plot .axis-title { fill: var(--soft); }
      .plot .curve { fill: none; stroke: currentColor; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
      .plot .mark { fill: currentColor; stroke: var(--card); stroke-width: 1.2; }
      .plot .leader { stroke: currentColor; opacity: 0.45; } .plot .name { fill: currentColor; font-weight: 600; }
      .plot .ground { fill: var(--card); }
      """
  }()

  /// For a picture in a file of its own.
  static let standalone = root + "\n" + rules
}
