import Foundation

/// A plot as SVG. Colours come from the style sheet (`PlotStyle`), marks differ in shape besides.
extension Plot {
  /// The picture for a page that has the style sheet, or with it as a file of its own.
  public func svg(standsAlone: Bool = false) -> String { SVGPlot(self).text(standsAlone: standsAlone) }
}

private struct SVGPlot {
  let plot: Plot
  private let xScale: PlotScale
  private let yScale: PlotScale
  private let width = 520.0
  private let height = 330.0
  private let left = 58.0
  private let top = 12.0
  private let bottom = 46.0
  private let right: Double
  private static let fontSize = 13.0
  /// Mean width of a letter; names must not touch, so rather too much.
  private static let letterWidth = 8.3
  private static let longestName = 20

  init(_ plot: Plot) {
    self.plot = plot
    let points = plot.series.flatMap(\.points)
    xScale = PlotScale(
      points.map(\.x), count: 4, isLogarithmic: plot.x.isLogarithmic, zero: !plot.x.isLogarithmic)
    let shown =
      plot.style == .lines ? PlotScale.withoutFarOut(points.map(\.y), most: plot.series.count) : points.map(\.y)
    yScale = PlotScale(shown, count: 5)
    let longest = plot.series.filter { !$0.points.isEmpty }.map { min($0.name.count, Self.longestName) }.max() ?? 0
    right = plot.style == .lines ? 22 + Double(longest) * Self.letterWidth : 16
  }

  private func x(_ value: Double) -> Double { left + xScale.place(value) * (width - left - right) }
  /// Values off the axis lie at its end.
  private func y(_ value: Double) -> Double {
    height - bottom - min(max(yScale.place(value), 0), 1) * (height - top - bottom)
  }

  private var yTitle: String {
    let count = plot.series.flatMap(\.points).count { !(-1e-9...1 + 1e-9).contains(yScale.place($0.y)) }
    let notes = [(count, "off the axis"), (plot.undrawnCount, "not drawn (not finite, or too large)")]
    return ([plot.y.title] + notes.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }).joined(separator: "; ")
  }

  func text(standsAlone: Bool) -> String {
    var parts = [
      "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Self.number(width)) \(Self.number(height))\" "
        + "role=\"img\" font-size=\"\(Self.number(Self.fontSize))\">",
      "<title>\(Markup.escaped(plot.title))</title>",
    ]
    if standsAlone {
      parts += ["<style>\(PlotStyle.standalone)</style>", "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>"]
    }
    parts += axes
    for series in plot.series where !series.points.isEmpty { parts += marks(series) }
    parts += names
    return (parts + ["</svg>"]).joined(separator: "\n")
  }

  // MARK: Axes

  private var axes: [String] {
    let (floor, edge) = (height - bottom, width - right)
    var parts: [String] = []
    for tick in yScale.ticks {
      parts += [
        line("grid", left, y(tick), edge, y(tick)),
        label(yScale.label(tick), "tick", left - 8, y(tick) + 4.5, anchor: "end"),
      ]
    }
    for tick in xScale.ticks {
      if xScale.isLogarithmic { parts.append(line("grid", x(tick), top, x(tick), floor)) }
      parts += [
        line("axis", x(tick), floor, x(tick), floor + 5),
        label(xScale.label(tick), "tick", x(tick), floor + 20, anchor: "middle"),
      ]
    }
    return parts + [
      line("axis", left, floor, edge, floor),
      label(plot.x.title, "axis-title", (left + edge) / 2, height - 7, anchor: "middle"),
      "<text class=\"axis-title\" text-anchor=\"middle\" transform=\"translate(14 \(Self.number((top + floor) / 2))) "
        + "rotate(-90)\">\(Markup.escaped(yTitle))</text>",
    ]
  }

  // MARK: Series

  private func marks(_ series: Plot.Series) -> [String] {
    var parts = ["<g class=\"series s\(series.colour % PlotStyle.colourCount)\">"]
    if plot.style == .lines, series.points.count > 1 {
      let path = series.points.map { "\(Self.number(x($0.x))) \(Self.number(y($0.y)))" }.joined(separator: " L ")
      parts.append("<path class=\"curve\"\(dash(series)) d=\"M \(path)\"/>")
    }
    let size = plot.style == .points ? 6.5 : series.points.count > 40 ? 2 : 4
    for point in series.points {
      parts.append(
        "<path class=\"mark\" d=\"\(Self.shape(series.colour, x(point.x), y(point.y), size))\">"
          + "<title>\(Markup.escaped(point.note))</title></path>")
    }
    return parts + ["</g>"]
  }

  /// Where colours come round again, lines are broken.
  private func dash(_ series: Plot.Series) -> String {
    let round = series.colour / PlotStyle.colourCount
    return round == 0 ? "" : " stroke-dasharray=\"\(round * 6) 4\""
  }

  /// Circle, square, triangle, diamond, triangle on its tip, cross, in turn.
  private static func shape(_ index: Int, _ x: Double, _ y: Double, _ size: Double) -> String {
    func polygon(_ corners: [(Double, Double)]) -> String {
      "M " + corners.map { "\(number(x + $0.0 * size)) \(number(y + $0.1 * size))" }.joined(separator: " L ") + " Z"
    }
    switch index % 6 {
    case 0:
      let (radius, diameter) = (number(size), number(2 * size))
      return "M \(number(x - size)) \(number(y)) a \(radius) \(radius) 0 1 0 \(diameter) 0 "
        + "a \(radius) \(radius) 0 1 0 -\(diameter) 0 Z"
    case 1: return polygon([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
    case 2: return polygon([(0, -1.2), (1.15, 0.9), (-1.15, 0.9)])
    case 3: return polygon([(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)])
    case 4: return polygon([(0, 1.2), (1.15, -0.9), (-1.15, -0.9)])
    default:
      let (a, b) = (0.4, 1.2)
      return polygon([
        (-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a),
      ])
    }
  }

  // MARK: Names

  private var names: [String] { plot.style == .lines ? namesAtEnds : namesBesidePoints }

  private var namesAtEnds: [String] {
    let shown = plot.series.compactMap { series in series.points.last.map { (series, $0) } }
    let heights = PlotLabels.spread(
      shown.map { y($0.1.y) }, spacing: Self.fontSize + 3, in: top + 4...max(height - bottom, top + 4))
    return zip(shown, heights).flatMap { entry, place in
      let (series, point) = entry
      let edge = width - right
      let colour = "s\(series.colour % PlotStyle.colourCount)"
      let isAside = abs(place - y(point.y)) > 3 || edge - x(point.x) > 3
      return (isAside ? [line("leader \(colour)", x(point.x) + 6, y(point.y), edge + 8, place)] : [])
        + [name(series, edge + 12, place + 4.5, anchor: "start")]
    }
  }

  private var namesBesidePoints: [String] {
    typealias Box = PlotLabels.Box
    let area = Box(x: left, y: 0, width: width - left, height: height - bottom)
    let shown = plot.series.compactMap { series in series.points.first.map { (series, x($0.x), y($0.y)) } }
    var taken = shown.map { Box(x: $0.1 - 8, y: $0.2 - 8, width: 16, height: 16) }
    return shown.map { series, x, y in
      let wide = Double(min(series.name.count, Self.longestName)) * Self.letterWidth
      let tall = Self.fontSize + 2
      let places = [0, -14, 14, -28, 28].flatMap { shift in
        [
          Box(x: x + 11, y: y - tall / 2 + shift, width: wide, height: tall),
          Box(x: x - 11 - wide, y: y - tall / 2 + shift, width: wide, height: tall),
        ]
      }
      let others = taken.filter { abs($0.x + 8 - x) > 0.01 || abs($0.y + 8 - y) > 0.01 }
      let box = PlotLabels.free(places, of: others, inside: area) ?? places[0]
      taken.append(box)
      let isRight = box.x > x
      return name(
        series, isRight ? box.x : box.x + wide, box.y + tall - 4, anchor: isRight ? "start" : "end")
    }
  }

  private func name(_ series: Plot.Series, _ x: Double, _ y: Double, anchor: String) -> String {
    let text = PlotLabels.shortened(series.name, to: Self.longestName)
    let full = text == series.name ? "" : "<title>\(Markup.escaped(series.name))</title>"
    return
      "<text class=\"name s\(series.colour % PlotStyle.colourCount)\" x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" "
      + "text-anchor=\"\(anchor)\">\(full)\(Markup.escaped(text))</text>"
  }

  // MARK: Elements

  private func line(_ kind: String, _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
    "<line class=\"\(kind)\" x1=\"\(Self.number(x1))\" y1=\"\(Self.number(y1))\" x2=\"\(Self.number(x2))\" "
      + "y2=\"\(Self.number(y2))\"/>"
  }

  private func label(_ text: String, _ kind: String, _ x: Double, _ y: Double, anchor: String) -> String {
    "<text class=\"\(kind)\" x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" text-anchor=\"\(anchor)\">"
      + "\(Markup.escaped(text))</text>"
  }

  /// At most one decimal.
  private static func number(_ value: Double) -> String {
    let rounded = (value * 10).rounded() / 10
    return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
  }
}
