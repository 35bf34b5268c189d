import Testing

@testable import Tasks

@Suite struct LeafPlannerTests {
  /// Costs of many batches, from a fixed linear congruential generator.
  private static let batches: [[Int]] = {
    var state: UInt64 = 1
    func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    return (1...120).map { count in (0..<count).map { _ in 1 + next(512) } }
  }()

  @Test func everyExampleIsInOneLeaf() {
    for costs in Self.batches {
      for leafTokens in [1, 100, 300, 1000, 1_000_000] {
        let leaves = LeafPlanner.leaves(costs: costs, leafTokens: leafTokens)
        #expect(leaves.flatMap { $0 }.sorted() == Array(costs.indices))
        #expect(leaves.allSatisfy { !$0.isEmpty && $0 == $0.sorted() })
      }
    }
  }

  @Test func numberOfLeaves() {
    #expect(LeafPlanner.leafCount(costs: [], leafTokens: 300) == 0)
    #expect(LeafPlanner.leafCount(costs: [0, 0], leafTokens: 300) == 1)
    #expect(LeafPlanner.leafCount(costs: [300], leafTokens: 300) == 1)
    #expect(LeafPlanner.leafCount(costs: [300, 1], leafTokens: 300) == 2)
    #expect(LeafPlanner.leafCount(costs: [300, 300, 1], leafTokens: 300) == 3, "one example each")
    #expect(LeafPlanner.leafCount(costs: .init(repeating: 100, count: 7), leafTokens: 300) == 4)
    #expect(LeafPlanner.leafCount(costs: .init(repeating: 100, count: 13), leafTokens: 300) == 8)
    #expect(LeafPlanner.leafCount(costs: .init(repeating: 100, count: 24), leafTokens: 300) == 8)
    #expect(LeafPlanner.leafCount(costs: .init(repeating: 100, count: 25), leafTokens: 300) == 16)
    #expect(LeafPlanner.leafCount(costs: .init(repeating: 300, count: 10), leafTokens: 300) == 10)
    #expect(LeafPlanner.leafCount(costs: .init(repeating: 100, count: 32), leafTokens: 1) == 32)
  }

  /// Graham's bound: the largest load is at most mean + largest cost, and for LPT no more than 4/3 of any
  /// lower bound.
  @Test func loadsAreEqualised() {
    for costs in Self.batches where costs.count >= 8 {
      let leaves = LeafPlanner.leaves(costs: costs, leafTokens: 600)
      let loads = leaves.map { $0.reduce(0) { $0 + costs[$1] } }
      let mean = Double(costs.reduce(0, +)) / Double(leaves.count)
      let largest = Double(loads.max() ?? 0)
      #expect(largest <= mean + Double(costs.max() ?? 0))
      let leastPossible = Double((loads.min() ?? 0) + (costs.max() ?? 0))
      #expect(largest <= leastPossible, "no load exceeds the smallest by more than one example")
    }
  }

  @Test func knownLeaves() {
    #expect(LeafPlanner.leaves(costs: [5, 9, 5, 1, 4], leafTokens: 12) == [[1, 4], [0, 2, 3]])
    #expect(LeafPlanner.leaves(costs: [7, 7, 7, 7], leafTokens: 14) == [[0, 2], [1, 3]])
    #expect(LeafPlanner.leaves(costs: [0, 0, 5], leafTokens: 2) == [[2], [0], [1]])
  }

  @Test func expensiveLeavesComeFirst() {
    #expect(LeafPlanner.order(costs: []) == [])
    #expect(LeafPlanner.order(costs: [3, 8, 5, 8, 0]) == [1, 3, 2, 0, 4])
    for costs in Self.batches {
      let order = LeafPlanner.order(costs: costs)
      #expect(order.sorted() == Array(costs.indices))
      #expect(zip(order, order.dropFirst()).allSatisfy { (costs[$0], $1) >= (costs[$1], $0) })
    }
  }
}
