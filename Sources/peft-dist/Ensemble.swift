import Tasks
import Training

/// Several adapters' answers to the same examples, by simple majority (Lester et al. 2021, §6: prompt ensembling).
///
/// Answers that are the same label are the same vote; of equally frequent answers that of the earliest adapter counts.
struct Ensemble {
  let predictions: [Prediction]
  let metrics: [(name: String, value: Double)]

  /// - Parameters:
  ///   - reports: one of each adapter, with predictions, in order.
  ///   - labels: label words; empty for free text.
  init(_ reports: [EvaluationReport], labels: [String]) {
    let matching = AnswerMatching(labels: labels)
    predictions = reports[0].predictions.indices.map { index in
      let answers = reports.map { $0.predictions[index] }
      let votes = answers.map { matching.label(of: $0.prediction).map { labels[$0] } ?? $0.prediction }
      var winner = 0
      for candidate in votes.indices {
        func count(_ vote: Int) -> Int { votes.count { $0 == votes[vote] } }
        if count(candidate) > count(winner) { winner = candidate }
      }
      return answers[winner]
    }
    guard !labels.isEmpty else {
      let exact = predictions.count(where: \.correct)
      metrics = [("exact_match", Double(exact) / Double(max(predictions.count, 1)))]
      return
    }
    var counts = ClassificationCounts(labelCount: labels.count)
    for prediction in predictions {
      guard let expected = matching.label(of: prediction.target) else { continue }
      counts.record(expected: expected, predicted: matching.label(of: prediction.prediction))
    }
    metrics = [
      ("accuracy", counts.accuracy), ("f1", counts.f1(labels.count == 2 ? .binary : .macro)),
      ("no_label_share", counts.unansweredShare),
    ]
  }
}
