import Testing

@testable import peft_dist

/// Which members a sweep has, and which go on.
@Suite struct SweepPlanTests {
  @Test(
    arguments: [
      (9, 900, 3, 1, [100, 300, 900]), (9, 900, 3, 200, [300, 900]), (9, 900, 1, 1, [900]), (1, 900, 3, 1, [900]),
      (2, 10, 3, 1, [3, 10]), (8, 16, 2, 1, [2, 4, 8, 16]), (100, 20, 3, 1, [2, 6, 20]), (9, 2, 3, 1, [2]),
    ] as [(Int, Int, Int, Int, [Int])])
  func rungs(members: Int, steps: Int, eta: Int, least: Int, expected: [Int]) {
    let halving = SuccessiveHalving(memberCount: members, totalSteps: steps, eta: eta, minSteps: least)
    #expect(halving.rungs == expected)
  }

  @Test func theBestGoOnAndNaNLoses() {
    let halving = SuccessiveHalving(memberCount: 6, totalSteps: 90, eta: 3, minSteps: 1)
    let scores: [Int: Double] = [1: .nan, 2: 0.5, 3: 0.7, 4: 0.5, 5: 0.1, 6: -.infinity]
    func left(_ members: [Int], largerIsBetter: Bool) -> [Int] {
      halving.survivors(of: members, scores: scores, largerIsBetter: largerIsBetter)
    }
    #expect(left([1, 2, 3, 4, 5, 6], largerIsBetter: true) == [2, 3])
    #expect(left([1, 2, 4, 5, 6, 3], largerIsBetter: false) == [5, 6])
    // Equal ones: the lower number. One always goes on.
    #expect(left([4, 2], largerIsBetter: true) == [2])
    #expect(left([1], largerIsBetter: true) == [1])
  }

  @Test func everyCombinationOnceAndDrawsRepeat() {
    let grid = SweepGrid(
      learningRates: [0.1, 0.3], seeds: [1, 2, 3], virtualTokenCounts: [10, 20], promptInits: ["random", "vocabulary"])
    let all = grid.members(seed: 42)
    #expect(all.count == 24 && all.map(\.number) == Array(1...24))
    #expect(Set(all.map { "\($0.learningRate ?? 0) \($0.seed) \($0.virtualTokens) \($0.promptInit)" }).count == 24)
    #expect(all[1].seed == 2 && all[0].learningRate == 0.1 && all[23].learningRate == 0.3)
    let drawn = grid.members(trials: 5, seed: 42)
    #expect(drawn == grid.members(trials: 5, seed: 42) && drawn.count == 5 && drawn.map(\.number) == Array(1...5))
    #expect(drawn != grid.members(trials: 5, seed: 43))
    #expect(grid.members(trials: 99, seed: 1) == all)
  }
}
