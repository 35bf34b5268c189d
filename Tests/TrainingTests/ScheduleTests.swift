import Testing

@testable import Training

/// Every row of the reference's schedules, and the names of the command line.
@Suite struct ScheduleTests {
  struct Table: Decodable {
    var base_lr: Double
    var num_warmup_steps: Int
    var num_training_steps: Int
    var steps: Int
    var lr: [String: [Double]]
  }

  static func schedules(_ table: Table) -> [String: Schedule] {
    let warmup = table.num_warmup_steps, total = table.num_training_steps
    return [
      "constant": .constant,
      "constant_with_warmup": .constantWithWarmup(warmupSteps: warmup),
      "linear_warmup": .linear(warmupSteps: warmup, totalSteps: total),
      "linear_nowarmup": .linear(warmupSteps: 0, totalSteps: total),
      "cosine_warmup": .cosine(warmupSteps: warmup, totalSteps: total),
      "cosine_half_cycles_1.5": .cosine(warmupSteps: warmup, totalSteps: total, cycles: 1.5),
      "cosine_hard_restarts_3": .cosineWithRestarts(warmupSteps: warmup, totalSteps: total, cycles: 3),
      "polynomial_p2": .polynomial(
        warmupSteps: warmup, totalSteps: total, power: 2, end: 0.001 / table.base_lr),
      "inverse_sqrt": .inverseSquareRoot(warmupSteps: warmup),
      "inverse_sqrt_timescale100": .inverseSquareRoot(warmupSteps: warmup, timeScale: 100),
    ]
  }

  @Test func followTheReference() throws {
    let table = try OptimizerGoldens.decode(Table.self, from: "schedules.json")
    let schedules = Self.schedules(table)
    #expect(schedules.keys.sorted() == table.lr.keys.sorted())
    for (name, rates) in table.lr {
      let schedule = try #require(schedules[name])
      #expect(rates.count == table.steps)
      for (step, rate) in rates.enumerated() {
        let got = table.base_lr * schedule.factor(step: step)
        #expect(
          abs(got - rate) <= 1e-9 * abs(rate) + 1e-17, "\(name) at step \(step): \(got), expected \(rate)")
      }
    }
  }

  @Test func everyNameIsKnownAndOthersAreRefused() throws {
    for name in Schedule.names {
      let schedule = try Schedule(named: name, warmupSteps: 4, totalSteps: 20)
      #expect(
        schedule.factor(step: 0) == 0 && schedule.factor(step: 2) == 0.5 && schedule.factor(step: 4) == 1)
    }
    #expect(try Schedule(named: "constant", warmupSteps: 0, totalSteps: 20) == .constant)
    #expect(throws: OptimizerError.unknownSchedule(name: "step")) {
      try Schedule(named: "step", warmupSteps: 0, totalSteps: 1)
    }
  }
}
