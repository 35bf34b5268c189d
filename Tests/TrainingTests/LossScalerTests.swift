import Checkpoints
import Foundation
import Autograd
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
    let scaling = try #require(LossScaling(named: "dynamic"))
    var state = TrainingState(lossScaling: scaling)
    for _ in 0..<1999 { state.lossScaler?.update(foundNonFinite: false) }
    #expect(state.lossScaler?.scale == 65_536)
    var restored = try restore(state.json, scaling)
    #expect(restored.lossScaler == state.lossScaler)
    restored.lossScaler?.update(foundNonFinite: false)
    #expect(restored.lossScaler?.scale == 131_072 && restored.lossScaler?.growthTracker == 0)
    #expect(try restore(restored.json, scaling).lossScaler == restored.lossScaler)
    // Of other settings: nothing to take up, or nothing to begin with.
    #expect(try restore(restored.json, .unscaled).lossScaler == nil)
    let fresh = try restore(TrainingState(lossScaling: .unscaled).json, .dynamic(initial: 8, window: 3))
    #expect(fresh.lossScaler?.scale == 8 && fresh.lossScaler?.growthInterval == 3)
  }

  @Test(arguments: [["scale": 0.5], ["scale": 1e300], ["growth_tracker": -1], ["scale": "much"]] as [[String: JSON]])
  func statesThatCannotBeAreRefused(change: [String: JSON]) {
    let scaling = LossScaling.dynamic(initial: 8, window: 3)
    var json = TrainingState(lossScaling: scaling).json
    let scaler: [String: JSON] = ["scale": 8.0, "growth_tracker": 0]
    json["loss_scaler"] = .object(scaler.merging(change) { $1 })
    #expect(throws: CheckpointError.self) { try restore(json, scaling) }
  }

  private func restore(_ json: [String: JSON], _ scaling: LossScaling) throws -> TrainingState {
    let text = JSON.object(json).encoded()
    guard case .object(let members) = try JSON.decode(Array(text.utf8), origin: "manifest") else {
      throw CheckpointError.wrongKind(path: "manifest", expected: "an object", found: text)
    }
    return try TrainingState(JSONObject(members, origin: "manifest"), lossScaling: scaling)
  }

  @Test func theScaleStaysAboveItsMinimum() {
    var scaler = LossScaler(scale: 6, growthInterval: 2, minimum: 1)
    for expected in [3, 1.5, 1, 1] as [Float] {
      #expect(!scaler.isAtMinimum || expected == 1)
      scaler.update(foundNonFinite: true)
      #expect(scaler.scale == expected)
    }
    #expect(scaler.isAtMinimum)
    for _ in 0..<2 { scaler.update(foundNonFinite: false) }
    #expect(scaler.scale == 2 && !scaler.isAtMinimum)
  }

  @Test func choices() {
    #expect(LossScaling(named: "none") == .unscaled && LossScaling(named: "1") == .unscaled)
    #expect(LossScaling(named: "1024") == .constant(1024) && LossScaling(named: "1e3") == .constant(1000))
    #expect(LossScaling(named: "dynamic") == .dynamic(initial: 65_536, window: 2_000))
    #expect(LossScaling(named: "dynamic", initial: 4, window: 7) == .dynamic(initial: 4, window: 7))
    for bad in ["", "Dynamic", "0", "0.5", "-8", "nan", "inf", "1e39", "8x"] { #expect(LossScaling(named: bad) == nil) }
    #expect(Precision.allCases.map(LossScaling.defaultName) == ["none", "none", "dynamic"])
  }
}
