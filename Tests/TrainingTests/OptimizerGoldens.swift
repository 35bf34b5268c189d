import Checkpoints
import Foundation
import TensorCore

/// The optimizer traces: ten updates of four tensors by each optimizer, made by PyTorch and transformers.
enum OptimizerGoldens {
  static let tensorNames = ["w2d", "b1d", "w3d", "row"]

  static func url(_ name: String) -> URL {
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Goldens/optim/\(name)")
  }

  static func tensors() throws -> SafetensorsFile { try SafetensorsFile(url("optim.safetensors")) }

  static func decode<Value: Decodable>(_ type: Value.Type, from name: String) throws -> Value {
    try JSONDecoder().decode(type, from: Data(contentsOf: url(name)))
  }

  struct Traces: Decodable {
    var steps: Int
    var optimizers: [String: Trace]
    var absoluteTolerance: Double
    var relativeTolerance: Double

    enum CodingKeys: String, CodingKey {
      case steps, optimizers
      case absoluteTolerance = "tolerance_atol"
      case relativeTolerance = "tolerance_rtol"
    }
  }

  struct Trace: Decodable {
    var type: String
    var args: Arguments
  }

  struct Arguments: Decodable {
    var lr: Double?
    var betas: [Double]?
    var eps: Epsilon?
    var weight_decay: Double?
    var momentum: Double?
    var dampening: Double?
    var nesterov: Bool?
    var relative_step: Bool?
    var scale_parameter: Bool?
    var warmup_init: Bool?
    var clip_threshold: Double?
    var decay_rate: Double?
    var beta1: Double?
  }

  /// One number, or Adafactor's two.
  struct Epsilon: Decodable {
    var values: [Double]

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let one = try? container.decode(Double.self) {
        values = [one]
      } else {
        values = try container.decode([Double].self)
      }
    }
  }
}
