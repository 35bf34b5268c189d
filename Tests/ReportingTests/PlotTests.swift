import Testing

@testable import Reporting

/// Axes with round ticks, and names that keep apart.
@Suite struct PlotTests {
  @Test(
    arguments: [
      ([0.51, 0.78], ["0.5", "0.6", "0.7", "0.8"]), ([0, 0], ["0", "1"]),
      ([3, 3], ["3.0", "3.2"]), ([0, 400], ["0", "100", "200", "300", "400"]),
      ([-1, 1], ["-1.0", "-0.5", "0.0", "0.5", "1.0"]), ([0, 25_000], ["0", "5k", "10k", "15k", "20k", "25k"]),
    ] as [([Double], [String])])
  func linearTicks(values: [Double], expected: [String]) {
    let scale = PlotScale(values)
    guard values != [0, 0] else {
      #expect(scale.ticks.count >= 2 && scale.start == 0)
      return
    }
    #expect(scale.ticks.map(scale.label) == expected)
    #expect(values.allSatisfy { (-1e-9...1 + 1e-9).contains(scale.place($0)) })
  }

  @Test func logarithmicTicks() {
    let wide = PlotScale([5_120, 15_570_688], isLogarithmic: true)
    #expect(wide.ticks.map(wide.label) == ["10k", "100k", "1M", "10M"])
    let narrow = PlotScale([96, 110], isLogarithmic: true)
    #expect(narrow.ticks.map(narrow.label).contains("100") && narrow.place(96) > 0 && narrow.place(110) < 1)
  }

  /// One untrained start for each curve leaves the axis to the rest; what is not far out, or is no exception, stays.
  @Test func farOutValues() {
    let curve = [0.62, 0.66, 0.68, 0.70, 0.72, 0.74, 0.75, 0.76]
    #expect(PlotScale.withoutFarOut([0] + curve, most: 1) == curve)
    #expect(PlotScale.withoutFarOut([0, 0] + curve, most: 1) == [0, 0] + curve)
    #expect(PlotScale.withoutFarOut([0.5] + curve, most: 1) == [0.5] + curve)
    #expect(PlotScale.withoutFarOut([0] + curve.prefix(5), most: 1) == [0] + curve.prefix(5))
    let points = ([0] + curve).enumerated().map { Plot.Point(x: Double($0), y: $1, note: "") }
    let plot = Plot(
      name: "p", title: "p", x: .init("epoch"), y: .init("accuracy"),
      series: [.init(name: "run", colour: 0, points: points)])
    let svg = plot.svg()
    #expect(svg.contains("accuracy; 1 off the axis") && svg.contains(">0.65<") && !svg.contains(">0.0<"))
  }

  @Test func namesKeepApart() {
    #expect(PlotLabels.spread([50, 50, 51], spacing: 10, in: 0...100) == [50, 60, 70])
    #expect(PlotLabels.spread([98, 99], spacing: 10, in: 0...100) == [90, 100])
    let many = PlotLabels.spread([5, 1, 90, 2], spacing: 16, in: 0...100)
    let sorted = many.sorted()
    #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $1 - $0 >= 16 - 1e-9 })
    #expect(many[1] < many[3] && many[3] < many[0] && many[0] < many[2])
  }
}
