/// A picture of numbers: named series of points over two axes.
public struct Plot: Sendable, Equatable {
  public struct Point: Sendable, Equatable {
    public var x: Double
    public var y: Double
    /// What a pointer that rests on it is told.
    public var note: String
  }

  public struct Series: Sendable, Equatable {
    public var name: String
    /// Number of its colour and mark; the same run has the same one in every plot.
    public var colour: Int
    public var points: [Point]
  }

  public struct Axis: Sendable, Equatable {
    public var title: String
    public var isLogarithmic: Bool

    public init(_ title: String, isLogarithmic: Bool = false) {
      (self.title, self.isLogarithmic) = (title, isLogarithmic)
    }
  }

  public enum Style: Sendable, Equatable {
    /// Points joined in their order, named at the end of the line.
    case lines
    /// Points by themselves, named beside each.
    case points
  }

  /// Of its file.
  public let name: String
  public let title: String
  public let x: Axis
  public let y: Axis
  /// Without the points that no axis can show.
  public let series: [Series]
  /// Points whose numbers are not finite or beyond `largest`.
  let undrawnCount: Int
  public var style = Style.lines

  init(name: String, title: String, x: Axis, y: Axis, series: [Series], style: Style = .lines) {
    (self.name, self.title, self.x, self.y, self.style) = (name, title, x, y, style)
    self.series = series.map { series in
      var series = series
      series.points.removeAll { !Self.canDraw($0.x) || !Self.canDraw($0.y) }
      return series
    }
    undrawnCount = series.reduce(0) { $0 + $1.points.count } - self.series.reduce(0) { $0 + $1.points.count }
  }

  private static let largest = 1e30

  private static func canDraw(_ value: Double) -> Bool { abs(value) <= largest }
}
