/// Which members of a sweep train how far: all to the first rung, the best 1/η of them to the next, and so on to the end.
///
/// A pure function of member count, steps and scores, so every rank, and a sweep taken up again, decides alike.
///
/// Source: Jamieson, Talwalkar 2016, algorithm 1; the rungs lie at T·η^-k steps, rounded down.
struct SuccessiveHalving: Sendable, Equatable {
  let eta: Int
  /// Steps of the rungs, ascending; the last is the whole run.
  let rungs: [Int]

  /// - Parameters:
  ///   - totalSteps: of the whole run, T.
  ///   - eta: one of so many goes on; 1 for all.
  ///   - minSteps: no rung lies before this step.
  init(memberCount: Int, totalSteps: Int, eta: Int, minSteps: Int) {
    self.eta = eta
    var rungs = [totalSteps]
    var left = memberCount
    // One rung for each time members can leave.
    while eta > 1, left > 1, let next = rungs.first.map({ $0 / eta }), next >= max(minSteps, 1) {
      rungs.insert(next, at: 0)
      left = Self.kept(of: left, eta: eta)
    }
    self.rungs = rungs
  }

  private static func kept(of count: Int, eta: Int) -> Int { max(1, count / eta) }

  /// Members that go on, ascending: the best, of equal ones the first. NaN is worse than any number.
  func survivors(of members: [Int], scores: [Int: Double], largerIsBetter: Bool) -> [Int] {
    let ranked = Self.ranked(members, scores: scores, largerIsBetter: largerIsBetter)
    return ranked.prefix(Self.kept(of: members.count, eta: eta)).sorted()
  }

  /// Members from the best to the worst.
  static func ranked(_ members: [Int], scores: [Int: Double], largerIsBetter: Bool) -> [Int] {
    func worth(_ member: Int) -> Double {
      guard let score = scores[member], !score.isNaN else { return -.infinity }
      return largerIsBetter ? score : -score
    }
    return members.sorted { worth($0) == worth($1) ? $0 < $1 : worth($0) > worth($1) }
  }
}
