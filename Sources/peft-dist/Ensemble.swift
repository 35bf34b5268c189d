import Tasks
import Training

/// Several adapters' answers to the same examples, by simple majority (Lester et al. 2021, §6: prompt ensembling).
///
/// Answers that are the same label are the same vote; of equally frequent answers that of the earliest adapter counts.
struct Ensemble {
  let outcomes: [ExampleOutcome]
  let metrics: [(name: String, value: Double)]

  /// - Parameter reports: one of each adapter, with outcomes, in order.
  init(_ reports: [EvaluationReport], metrics: TaskMetrics) {
    outcomes = reports[0].outcomes.indices.map { index in
      let answers = reports.map { $0.outcomes[index].answer }
      let votes = answers.map { metrics.vote($0) }
      var winner = 0
      for candidate in votes.indices {
        func count(_ vote: Int) -> Int { votes.count { $0 == votes[vote] } }
        if count(candidate) > count(winner) { winner = candidate }
      }
      return ExampleOutcome(answers[winner], reports[0].outcomes[index].expectation)
    }
    self.metrics = metrics.values(of: outcomes)
  }
}

extension TaskMetrics {
  /// What two answers must have in common to be the same vote.
  fileprivate func vote(_ answer: Answer) -> String {
    guard case .labels(let names, _) = self else { return answer.shown(labels: []) }
    let text = answer.shown(labels: names)
    return AnswerMatching(labels: names).label(of: text).map { names[$0] } ?? text
  }
}
