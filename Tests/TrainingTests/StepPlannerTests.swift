import NN
import Tasks
import Testing

@testable import Training

@Suite struct StepPlannerTests {
  private func planner(
    count: Int = 53, examples: [Int]? = nil, globalBatchSize: Int = 8, leafTokens: Int = 40,
    virtualTokens: Int = 0,
    seed: UInt64 = 42
  ) -> StepPlanner {
    StepPlanner(
      dataset: SyntheticData.dataset(count: count), examples: examples ?? Array(0..<count),
      globalBatchSize: globalBatchSize, leafTokens: leafTokens, virtualTokenCount: virtualTokens, seed: seed)
  }

  private func members(_ plan: StepPlan) -> [Int] { plan.leaves.flatMap { $0.examples.map(Int.init) } }

  @Test func everyExampleOnceInEachEpoch() {
    let planner = planner()
    #expect(planner.stepsPerEpoch == 7)
    var epochs: [[Int]] = []
    for epoch in 0..<3 {
      let plans = (0..<7).map { planner.plan(step: epoch * 7 + $0) }
      #expect(plans.allSatisfy { $0.epoch == epoch })
      #expect(plans.map { members($0).count } == [8, 8, 8, 8, 8, 8, 5])
      let order = plans.flatMap { members($0).sorted() }
      #expect(order.sorted() == Array(0..<53))
      epochs.append(order)
    }
    #expect(Set(epochs).count == 3, "each epoch has an order of its own")
  }

  @Test func onlyTheGivenExamples() {
    let examples = (0..<53).filter { $0 % 3 != 0 }
    let planner = planner(examples: examples)
    let seen = (0..<planner.stepsPerEpoch).flatMap { members(planner.plan(step: $0)) }
    #expect(seen.sorted() == examples)
  }

  /// Resuming: a step is what it is, whatever was planned before.
  @Test func aStepFollowsFromItsNumberAlone() {
    let first = planner()
    for step in 0..<5 { _ = first.plan(step: step) }
    for step in [5, 100, 1_000_000] {
      let (a, b) = (first.plan(step: step), planner().plan(step: step))
      #expect(a.leaves.map(\.examples) == b.leaves.map(\.examples))
      #expect(
        a.leaves.map(\.sources) == b.leaves.map(\.sources) && a.leaves.map(\.labels) == b.leaves.map(\.labels)
      )
    }
    #expect(members(first.plan(step: 5)) != members(planner(seed: 43).plan(step: 5)))
  }

  @Test func countsAreThoseOfTheExamples() {
    let planner = planner()
    for step in 0..<7 {
      let plan = planner.plan(step: step)
      let examples = members(plan)
      #expect(plan.targetCount == examples.reduce(0) { $0 + SyntheticData.targetLength($1) })
      #expect(plan.sourceTokenCount == examples.reduce(0) { $0 + SyntheticData.sourceLength($1) })
      #expect(plan.targetCount == plan.leaves.reduce(0) { $0 + $1.targetCount })
      for leaf in plan.leaves {
        for (index, source) in zip(leaf.examples, leaf.sources) {
          #expect(source.count == SyntheticData.sourceLength(Int(index)))
        }
      }
    }
  }

  /// The heaviest leaf exceeds the lightest by one example at most, and by less than the largest.
  @Test(arguments: [1, 30, 64, 200, 10_000], [0, 20])
  func leavesAreBalanced(leafTokens: Int, virtualTokens: Int) {
    let planner = planner(globalBatchSize: 48, leafTokens: leafTokens, virtualTokens: virtualTokens)
    let plan = planner.plan(step: 0)
    func cost(_ index: UInt32) -> Int {
      SyntheticData.sourceLength(Int(index)) + SyntheticData.targetLength(Int(index)) + virtualTokens
    }
    let loads = plan.leaves.map { $0.examples.reduce(0) { $0 + cost($1) } }
    let total = loads.reduce(0, +)
    let largest = members(plan).map { cost(UInt32($0)) }.max() ?? 0
    #expect(
      members(plan).sorted() == members(plan).sorted().reduce(into: []) { if $0.last != $1 { $0.append($1) } }
    )
    #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= largest)
    // Longest first: at most 4/3 of the best division, which no leaf can beat.
    let ideal = max(largest, (total + loads.count - 1) / loads.count)
    #expect(3 * (loads.max() ?? 0) <= 4 * ideal)
    let wanted = (total + leafTokens - 1) / leafTokens
    #expect(plan.leaves.count == min(48, [1, 2, 4].first { wanted <= $0 } ?? (wanted + 7) / 8 * 8))
  }

  /// Virtual tokens are work: the same examples make more leaves with a prompt in front.
  @Test func virtualTokensCountAsWork() {
    let (without, with) = (planner(globalBatchSize: 16), planner(globalBatchSize: 16, virtualTokens: 100))
    #expect(with.plan(step: 0).leaves.count > without.plan(step: 0).leaves.count)
    #expect(with.plan(step: 0).sourceTokenCount == without.plan(step: 0).sourceTokenCount)
  }
}
