/// Where names of series go, so that none lies on another.
enum PlotLabels {
  /// Heights of names in a column: each as near to where it would be as the others leave room.
  ///
  /// - Parameters:
  ///   - wanted: heights in any order.
  ///   - spacing: least distance of two.
  ///   - range: where they must lie.
  static func spread(_ wanted: [Double], spacing: Double, in range: ClosedRange<Double>) -> [Double] {
    let order = wanted.indices.sorted { (wanted[$0], $0) < (wanted[$1], $1) }
    var placed = [Double](repeating: 0, count: wanted.count)
    var next = range.lowerBound
    for index in order {
      placed[index] = max(wanted[index], next)
      next = placed[index] + spacing
    }
    var last = range.upperBound
    for index in order.reversed() {
      guard placed[index] > last else { break }
      placed[index] = last
      last -= spacing
    }
    return placed
  }

  /// A box around a text or a mark.
  struct Box {
    var x: Double, y: Double, width: Double, height: Double

    func overlaps(_ other: Box) -> Bool {
      x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height
    }
  }

  /// The first of `choices` that lies inside `area` and on none of `taken`; else the first one.
  static func free(_ choices: [Box], of taken: [Box], inside area: Box) -> Box? {
    choices.first { choice in
      choice.x >= area.x && choice.x + choice.width <= area.x + area.width && choice.y >= area.y
        && choice.y + choice.height <= area.y + area.height && !taken.contains { $0.overlaps(choice) }
    } ?? choices.first
  }

  /// Text of at most `count` signs.
  static func shortened(_ text: String, to count: Int) -> String {
    text.count > count ? text.prefix(count - 1) + "…" : text
  }
}
