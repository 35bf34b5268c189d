import Checkpoints
import Testing

@testable import Training

@Suite struct RunConfigurationTests {
  /// Steps after which something is due, in a run of 10 steps of which an epoch has 4.
  @Test(
    arguments: [
      (nil, [4, 8, 10]), (0, []), (1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), (3, [3, 6, 9, 10]), (4, [4, 8, 10]),
      (5, [5, 10]), (10, [10]), (11, [10]), (1000, [10]),
    ] as [(Int?, [Int])])
  func dueSteps(interval: Int?, expected: [Int]) {
    let due = (1...10).filter {
      RunConfiguration.isDue(interval, step: $0, stepsPerEpoch: 4, totalSteps: 10)
    }
    #expect(due == expected)
  }

  private func configuration(_ settings: [RunConfiguration.Setting]) throws -> RunConfiguration {
    RunConfiguration(
      globalBatchSize: 8, totalSteps: 10, leafTokens: 256, optimizer: OptimizerConfiguration(),
      learningRate: 0.1,
      schedule: try Schedule(named: "constant", warmupSteps: 0, totalSteps: 10), maxGradNorm: 1, dropout: 0,
      seed: 1,
      evalEvery: nil, saveEvery: nil, keepCheckpoints: 2, logEvery: 1, maxTargetLength: 4, settings: settings)
  }

  @Test func aSettingThatAltersTheResultMustBeTheSame() throws {
    let configuration = try configuration([
      .init("learning_rate", 0.1), .init("seed", 1), .init("target_modules", .null),
      .init("data_dir", "here", altersResult: false),
    ])
    func check(_ stored: [String: JSON]) throws {
      try configuration.checkSame(as: JSONObject(stored, origin: "manifest.json"))
    }
    try check(["learning_rate": 0.1, "seed": 1])
    try check(["learning_rate": 0.1, "seed": 1, "data_dir": "there", "target_modules": .null])
    let error = try #require(throws: TrainingError.self) {
      try check(["learning_rate": 0.2, "seed": 1, "target_modules": "q"])
    }
    guard case .changedSettings(let changes) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(changes.count == 2)
    #expect(changes[0].contains("learning_rate") && changes[0].contains("0.2") && changes[0].contains("0.1"))
    #expect(changes[1].contains("target_modules"))
    #expect(throws: TrainingError.self) { try check(["learning_rate": 0.1]) }
  }
}
