import Autograd
import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// Reference models and adapters, found from this file.
enum Golden {
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Goldens", directoryHint: .isDirectory)

  /// T5 1.0 (`t5_v10`: tied head, D 64, V 512) or 1.1 (`t5_v11`: gated, own head, V 320), two layers each.
  static func model(_ name: String = "t5_v10") throws -> T5 {
    try T5(ModelFolder(root.appending(path: "models/\(name)")))
  }

  /// The same, or `gpt2` or `roberta` (D 64, V 512, two layers; two labels).
  static func anyModel(_ name: String) throws -> any LanguageModel {
    try ModelCatalogue.load(ModelFolder(root.appending(path: "models/\(name)")))
  }

  /// Folder of the adapter that HF PEFT wrote for a case before training.
  static func adapter(_ name: String) -> URL { root.appending(path: "cases/\(name)/adapter_init") }
}

/// Runs `body` with a fresh folder, which is removed afterwards.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("peft-dist-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder)
}

extension MethodOptions {
  init(_ change: (inout MethodOptions) -> Void) {
    self.init()
    change(&self)
  }
}

extension LanguageModel {
  /// Two fixed examples.
  var leaf: LeafBatch {
    LeafBatch(
      sources: [[9, 40, 7, 300, 1], [12, 5, 250, 33, 6, 71, 1]],
      labels: description.kind == .classifier ? [[1], [0]] : [[25, 8, 1], [120, 1]], examples: [0, 1])
  }

  /// Logits of two fixed examples under `method`, at its present parameters.
  func logits(_ method: any PEFTMethod) -> Tensor {
    let tape = Tape(pool: BufferPool(), recordsGradients: false)
    let sites = method.materialise(method.parameters.map { Variable(constant: $0.value) }, tape)
    return logits(leaf, method.pass(tape: tape, sites: sites)).value
  }
}

extension PEFTMethod {
  func tensor(_ name: String) throws -> Tensor {
    try #require(parameters.first { $0.name == name }, "no parameter \(name)").value
  }
}

/// Mean and standard deviation in Double.
func moments(_ values: [Float]) -> (mean: Double, deviation: Double) {
  let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
  let squares = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
  return (mean, (squares / Double(values.count)).squareRoot())
}

/// The largest absolute difference; infinite where the lengths differ or a value is NaN.
func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).reduce(0) { result, pair in
    let difference = abs(pair.0 - pair.1)
    return difference.isNaN ? .infinity : max(result, difference)
  }
}
