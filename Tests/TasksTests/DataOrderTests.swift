import Testing

@testable import Tasks

@Suite struct DataOrderTests {
  @Test func everyEpochVisitsEveryExampleOnce() {
    for count in Array(1...300) + [25_000] {
      let order = DataOrder(count: count, seed: UInt64(count))
      for epoch in 0..<(count < 1000 ? 3 : 1) {
        let seen = Set((0..<count).map { order.example(epoch: epoch, position: $0) })
        #expect(seen.count == count && seen.max() == count - 1 && seen.min() == 0, "\(count), epoch \(epoch)")
      }
    }
  }

  @Test func epochsAndSeedsDiffer() {
    func first(_ seed: UInt64, _ epoch: Int) -> [Int] {
      (0..<100).map { DataOrder(count: 1000, seed: seed).example(epoch: epoch, position: $0) }
    }
    #expect(first(1, 0) != first(1, 1))
    #expect(first(1, 0) != first(2, 0))
    #expect(first(1, 0) == first(1, 0))
  }

  /// Positions and examples are unrelated: few examples stay, and the mean distance is that of random orders
  /// (a third).
  @Test func ordersAreMixed() {
    let count = 10_000
    let order = DataOrder(count: count, seed: 5)
    let examples = (0..<count).map { order.example(epoch: 0, position: $0) }
    #expect(examples.enumerated().count { $0 == $1 } < 10)
    let distance = examples.enumerated().reduce(0) { $0 + abs($1.offset - $1.element) }
    #expect(abs(Double(distance) / Double(count * count) - 1.0 / 3) < 0.01)
    let runs = zip(examples, examples.dropFirst()).count { $1 == $0 + 1 }
    #expect(runs < 10)
  }

  /// Frozen: a change of these numbers changes every run.
  @Test func knownValues() {
    let order = DataOrder(count: 25_000, seed: 42)
    #expect(
      (0..<8).map { order.example(epoch: 0, position: $0) } == [
        14629, 16890, 19023, 24570, 8392, 16597, 5007, 12086,
      ])
    #expect(
      (0..<8).map { order.example(epoch: 1, position: $0) } == [
        12053, 11850, 16529, 17850, 24406, 22836, 17562, 6327,
      ])
  }

  @Test func batchesTileTheEpoch() {
    let order = DataOrder(count: 10, seed: 3)
    #expect(order.stepsPerEpoch(globalBatchSize: 4) == 3)
    for epoch in 0..<3 {
      let batches = (0..<3).map { order.batch(step: 3 * epoch + $0, globalBatchSize: 4) }
      #expect(batches.map(\.positions) == [0..<4, 4..<8, 8..<10])
      #expect(batches.allSatisfy { $0.epoch == epoch })
      #expect(batches.flatMap(\.examples) == (0..<10).map { order.example(epoch: epoch, position: $0) })
    }
    #expect(order.batch(step: 1, globalBatchSize: 64).epoch == 1)
    #expect(order.batch(step: 1, globalBatchSize: 64).examples.count == 10)
  }

  @Test func validationSplit() {
    let split = ValidationSplit(count: 10_000, fraction: 0.1, seed: 42)
    #expect((split.train + split.validation).sorted() == Array(0..<10_000))
    #expect(split.train == split.train.sorted() && split.validation == split.validation.sorted())
    #expect((900...1100).contains(split.validation.count))
    #expect(split == ValidationSplit(count: 10_000, fraction: 0.1, seed: 42))
    #expect(split.validation != ValidationSplit(count: 10_000, fraction: 0.1, seed: 43).validation)
    let shorter = ValidationSplit(count: 5_000, fraction: 0.1, seed: 42)
    #expect(shorter.validation == split.validation.filter { $0 < 5_000 })
    #expect(ValidationSplit(count: 9, fraction: 0, seed: 1).train == Array(0..<9))
    #expect(Array(split.validation.prefix(4)) == frozenValidation)
  }

  /// Frozen: the first validation examples of seed 42 at 10 %.
  private let frozenValidation = [0, 6, 16, 30]
}
