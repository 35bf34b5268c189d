import Checkpoints
import Collectives
import Foundation
import NN
import TensorCore

/// What a run is beside its configuration: everything a resumed run needs to end in the same bytes.
struct TrainingState: Sendable {
  /// Optimizer steps done; also the position in the data.
  var step = 0
  /// Updates the schedule has seen: steps that were not skipped.
  var scheduleStep = 0
  /// With dynamic loss scaling: the scale of the next step.
  var lossScaler: LossScaler?
  /// The last step after which the model was evaluated.
  var evaluatedStep: Int?
  /// The best evaluation so far, by the task's metric.
  var best: Best?
  /// Wall time of the steps done; alters no byte of the result.
  var trainingSeconds = 0.0

  struct Best: Sendable, Equatable {
    var step: Int
    var value: Double
  }

  var json: [String: JSON] {
    var members: [String: JSON] = [
      "step": .integer(step), "schedule_step": .integer(scheduleStep), "training_seconds": .double(trainingSeconds),
    ]
    if let lossScaler {
      members["loss_scaler"] = .object([
        "scale": .double(Double(lossScaler.scale)), "growth_tracker": .integer(lossScaler.growthTracker),
      ])
    }
    if let evaluatedStep { members["evaluated_step"] = .integer(evaluatedStep) }
    if let best { members["best"] = .object(["step": .integer(best.step), "value": .double(best.value)]) }
    return members
  }

  /// The state of a new run.
  init(lossScaling: LossScaling) { lossScaler = lossScaling.scaler }

  /// The state in a checkpoint. Dynamic loss scaling of which it knows nothing begins with its first scale.
  init(_ json: JSONObject, lossScaling: LossScaling) throws {
    self.init(lossScaling: lossScaling)
    step = try json.int("step")
    scheduleStep = try json.int("schedule_step")
    evaluatedStep = try json.optionalInt("evaluated_step")
    trainingSeconds = try json.optionalDouble("training_seconds") ?? 0
    if let object = try json.optionalObject("loss_scaler") { try lossScaler?.restore(object) }
    if let object = try json.optionalObject("best") {
      best = Best(step: try object.int("step"), value: try object.double("value"))
    }
  }
}

extension LossScaler {
  /// Takes up scale and tracker of a checkpoint.
  fileprivate mutating func restore(_ json: JSONObject) throws {
    let stored = Float(try json.double("scale"))
    guard stored.isFinite, stored >= minimum else {
      throw json.error("scale", expected: "a number from \(minimum) to the largest float")
    }
    let tracker = try json.int("growth_tracker")
    guard tracker >= 0 else { throw json.error("growth_tracker", expected: "0 or more") }
    self = LossScaler(scale: stored, growthInterval: growthInterval, growthTracker: tracker, minimum: minimum)
  }
}

/// Moves the training state into checkpoints and back.
@MainActor
struct StateArchive {
  let method: any PEFTMethod
  let optimizer: any Optimizer
  let sum: ExactSum
  let configuration: RunConfiguration
  let identity: NumericIdentity

  /// Trained parameters, the best ones so far, optimizer state.
  func tensors(best: [Tensor]?) -> [(String, Tensor)] {
    var tensors = method.parameters.map { ("parameter/\($0.name)", $0.value) }
    if let best { tensors += zip(method.parameters, best).map { ("best/\($0.name)", $1) } }
    return tensors + optimizer.state.map { ("optimizer/\($0.name)", $0.tensor) }
  }

  func members(_ state: TrainingState) -> [String: JSON] {
    [
      "state": .object(state.json), "optimizer_updates": .integer(optimizer.updateCount),
      "gradient_exponents": .array(sum.exponents.map { .integer(Int($0)) }),
      "settings": .object(
        Dictionary(uniqueKeysWithValues: configuration.settings.filter(\.altersResult).map { ($0.key, $0.value) })),
      "numeric_identity": .string(identity.text),
    ]
  }

  /// Takes up a checkpoint.
  ///
  /// Throws: `TrainingError` if it belongs to other settings, another identity or another method.
  func restore(_ members: JSONObject, tensors: [String: Tensor], path: String) throws
    -> (state: TrainingState, best: [Tensor]?)
  {
    try configuration.checkSame(as: members.object("settings"))
    let stored = try members.string("numeric_identity")
    guard stored == identity.text || configuration.allowsOtherIdentity else {
      throw TrainingError.identityDiffers(checkpoint: stored, now: identity.text)
    }
    func tensor(_ prefix: String, _ parameter: Parameter) throws -> Tensor? {
      guard let tensor = tensors["\(prefix)/\(parameter.name)"] else { return nil }
      guard tensor.shape == parameter.shape else {
        throw TrainingError.unfitCheckpoint(
          path: path, reason: "\(parameter.name) has shape \(tensor.shape), expected \(parameter.shape)")
      }
      return tensor
    }
    var best: [Tensor] = []
    for parameter in method.parameters {
      guard let value = try tensor("parameter", parameter) else {
        throw TrainingError.unfitCheckpoint(path: path, reason: "it has no tensor for \(parameter.name)")
      }
      parameter.value.copyElements(from: value)
      if let value = try tensor("best", parameter) { best.append(value.copy()) }
    }
    let prefix = "optimizer/"
    let optimizerState = tensors.filter { $0.key.hasPrefix(prefix) }
      .map { (String($0.key.dropFirst(prefix.count)), $0.value) }
    try optimizer.restore(
      updateCount: members.int("optimizer_updates"), state: Dictionary(uniqueKeysWithValues: optimizerState))
    try sum.restore(exponents: members.ints("gradient_exponents").map(Int32.init))
    let state = try TrainingState(members.object("state"), lossScaling: configuration.lossScaling)
    return (state, best.count == method.parameters.count && state.best != nil ? best : nil)
  }
}

extension World {
  /// The newest usable checkpoint as rank 0 reads it, on every rank; nil if there is none.
  func broadcastCheckpoint(_ read: () throws -> Checkpoint?) throws -> (
    members: JSONObject, tensors: [String: Tensor], path: String
  )? {
    var checkpoint: Checkpoint?
    var header = JSON.null
    if isFirst, let found = try read() {
      checkpoint = found
      let shapes = found.tensors.names.map { name in
        JSON.object([
          "name": .string(name), "shape": .array((found.tensors.info(name)?.shape ?? []).map { .integer($0) }),
        ])
      }
      header = ["members": found.state.json, "tensors": .array(shapes), "path": .string(found.url.path)]
    }
    let text = try broadcast(header.encoded(.compact))
    let received = try JSON.decode(Array(text.utf8), origin: "the checkpoint sent by rank 0")
    guard case .object(let members) = received else { return nil }
    let object = JSONObject(members, origin: "the checkpoint sent by rank 0")
    var tensors: [String: Tensor] = [:]
    for case .object(let entry) in try object.array("tensors") {
      let entry = JSONObject(entry, origin: object.origin)
      let name = try entry.string("name")
      let own = try checkpoint?.tensors.tensor(name)
      let bytes = own.map { Data(bytes: $0.pointer, count: $0.count * 4) } ?? Data()
      let sent = try broadcast(bytes)
      let tensor = Tensor(zeros: try entry.ints("shape"))
      _ = sent.copyBytes(to: UnsafeMutableRawBufferPointer(tensor.buffer))
      tensors[name] = tensor
    }
    return (try object.object("members"), tensors, try object.string("path"))
  }
}
