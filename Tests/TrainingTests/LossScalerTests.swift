import Foundation
import Testing

@testable import Training

/// Every step of the reference's traces, exactly.
@Suite struct LossScalerTests {
  struct Trace: Decodable {
    var name: String
    var init_scale: Float
    var growth_factor: Double
    var backoff_factor: Double
    var growth_interval: Int
    var steps: [Step]
  }

  struct Step: Decodable {
    var found_inf: Int
    var scale_used: Float?
    var scale_after: Float
    var growth_tracker_after: Int
  }

  @Test func followsTheReference() throws {
    let traces = try OptimizerGoldens.decode([Trace].self, from: "gradscaler.json")
    #expect(traces.count == 5 && traces.reduce(0) { $0 + $1.steps.count } == 254)
    for trace in traces {
      var scaler = LossScaler(
        scale: trace.init_scale, growthFactor: trace.growth_factor, backoffFactor: trace.backoff_factor,
        growthInterval: trace.growth_interval)
      for (number, step) in trace.steps.enumerated() {
        if let used = step.scale_used { #expect(scaler.scale == used) }
        scaler.update(foundNonFinite: step.found_inf != 0)
        #expect(scaler.scale == step.scale_after, "\(trace.name), step \(number)")
        #expect(scaler.growthTracker == step.growth_tracker_after, "\(trace.name), step \(number)")
      }
    }
  }

  @Test func defaultsAndStateSurviveACheckpoint() throws {
    var scaler = LossScaler()
    for _ in 0..<1999 { scaler.update(foundNonFinite: false) }
    #expect(scaler.scale == 65_536)
    var restored = try JSONDecoder().decode(LossScaler.self, from: JSONEncoder().encode(scaler))
    #expect(restored == scaler)
    restored.update(foundNonFinite: false)
    #expect(restored.scale == 131_072 && restored.growthTracker == 0)
  }
}
