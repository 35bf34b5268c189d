extension RunReport {
  /// The plots of the report; those for which the runs say nothing are left out.
  public var plots: [Plot] {
    [
      Plot(
        name: "epochs", title: "\(sentence(metric)) against epoch", x: .init("epoch"), y: .init(metric),
        series: lines({ $0.epoch }, { $0.value })),
      Plot(
        name: "time", title: "\(sentence(metric)) against training time", x: .init("seconds of training"),
        y: .init(metric), series: lines({ $0.trainingSeconds }, { $0.value })),
      Plot(
        name: "parameters", title: "Best \(metric) against trained parameters",
        x: .init("trained parameters", isLogarithmic: true), y: .init("best \(metric)"), series: bestPoints,
        style: .points),
      Plot(
        name: "loss", title: "Validation loss against epoch", x: .init("epoch"), y: .init("loss"),
        series: lines({ $0.epoch }, { $0.loss })),
    ].filter { $0.undrawnCount > 0 || $0.series.contains { !$0.points.isEmpty } }
  }

  private func sentence(_ word: String) -> String { word.prefix(1).uppercased() + word.dropFirst() }

  private func lines(
    _ x: (RunRecord.Evaluation) -> Double?, _ y: (RunRecord.Evaluation) -> Double?
  ) -> [Plot.Series] {
    runs.enumerated().map { index, run in
      Plot.Series(
        name: run.name, colour: index,
        points: run.evaluations.compactMap { evaluation in
          guard let x = x(evaluation), let y = y(evaluation) else { return nil }
          return .init(x: x, y: y, note: "\(run.name), step \(evaluation.step): \(Self.score(y))")
        })
    }
  }

  private var bestPoints: [Plot.Series] {
    runs.enumerated().map { index, run in
      guard let count = run.trainableParameters, count > 0, let value = run.bestValue else {
        return Plot.Series(name: run.name, colour: index, points: [])
      }
      return Plot.Series(
        name: run.name, colour: index,
        points: [.init(x: Double(count), y: value, note: "\(run.name), \(count) parameters: \(Self.score(value))")])
    }
  }
}
