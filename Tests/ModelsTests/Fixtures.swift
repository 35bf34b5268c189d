import Autograd
import Checkpoints
import Foundation
import Models
import NN
import PEFTMethods
import TensorCore
import Testing

/// The reference models, found from this file.
enum Golden {
  static let models = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Goldens/models", directoryHint: .isDirectory)

  /// T5 1.0: relu, tied head; 47 tensors, D 64, V 512.
  static func t5() throws -> T5 { try T5(ModelFolder(models.appending(path: "t5_v10"))) }
  /// T5 1.1: gated gelu, own head; V 320.
  static func t5v11() throws -> T5 { try T5(ModelFolder(models.appending(path: "t5_v11"))) }

  /// GPT-2: 28 tensors, D 64, V 512, 128 positions.
  static func gpt2() throws -> GPT2 { try GPT2(ModelFolder(models.appending(path: "gpt2"))) }
  /// RoBERTa with a head for two labels; D 64, V 512, 66 positions.
  static func roberta() throws -> BERT { try BERT(ModelFolder(models.appending(path: "roberta"))) }

  static func t5(named name: String) throws -> T5 { try name == "t5_v11" ? t5v11() : t5() }

  static func model(_ name: String) throws -> any GenerativeModel { try name == "gpt2" ? gpt2() : t5(named: name) }

  /// A method with values that matter: four virtual tokens, or LoRA with a B that is not zero; "none" for neither.
  static func method(_ name: String, _ model: any LanguageModel) throws -> any PEFTMethod {
    guard name != "none" else { return FrozenBase() }
    var options = MethodOptions()
    options.virtualTokenCount = 4
    options.factorRank = 3
    let method = try MethodCatalogue.entry(named: name).make(options, model, 7)
    for parameter in method.parameters where parameter.name.hasSuffix("lora_B.weight") {
      for index in 0..<parameter.count { parameter.value.pointer[index] = Float(index * 29 % 17 - 8) / 40 }
    }
    return method
  }

  /// Every weight of a reference model under its name.
  static func weights(_ name: String) throws -> [String: Tensor] {
    let source = try ModelFolder(models.appending(path: name)).weights()
    var tensors: [String: Tensor] = [:]
    for name in source.names { tensors[name] = source.tensor(name, try #require(source.scope().shape(name))) }
    return tensors
  }

  static func config(_ name: String) throws -> [String: JSON] {
    try JSONObject(file: models.appending(path: "\(name)/config.json")).members
  }
}

/// Runs `body` with a fresh folder, which is removed afterwards.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("peft-dist-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder)
}

/// Writes a model folder.
func writeModel(_ config: [String: JSON], _ tensors: [String: Tensor], to folder: URL) throws {
  try Data(JSON.object(config).encoded().utf8).write(to: folder.appendingPathComponent("config.json"))
  try SafetensorsWriter.write(
    tensors: tensors.map { ($0.key, $0.value) }, to: folder.appendingPathComponent("model.safetensors"))
}

/// Examples of differing lengths whose ids, 2 and above, follow from their number alone.
enum Examples {
  static func example(_ number: Int) -> (source: [Int32], target: [Int32]) {
    func ids(_ count: Int, _ salt: Int) -> [Int32] {
      (0..<count).map { Int32(2 + (number * 37 + $0 * $0 * 11 + $0 * 5 + salt) % 300) } + [1]
    }
    return (ids(4 + number * 7 % 19, 3), ids(1 + number * 5 % 6, 101))
  }

  static func leaf(_ numbers: [Int]) -> LeafBatch {
    let members = numbers.map(example)
    return LeafBatch(
      sources: members.map(\.source), labels: members.map(\.target), examples: numbers.map { UInt32($0) })
  }
}

extension PEFTMethod {
  /// A pass that records nothing, over the method's present parameters.
  func inferencePass() -> ForwardPass {
    let tape = Tape(pool: BufferPool(), recordsGradients: false)
    return pass(tape: tape, sites: materialise(parameters.map { Variable(constant: $0.value) }, tape))
  }
}

extension LanguageModel {
  /// Logits of each example of a leaf, row by row.
  func logitsByExample(_ leaf: LeafBatch, _ method: any PEFTMethod) -> [[Float]] {
    let logits = logits(leaf, method.inferencePass()).value
    var first = 0
    return leaf.labels.map { labels in
      defer { first += labels.count }
      return logits.rows(first..<first + labels.count).values
    }
  }
}

/// The largest absolute difference; infinite where the lengths differ or a value is NaN.
func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).reduce(0) { result, pair in
    let difference = abs(pair.0 - pair.1)
    return difference.isNaN ? .infinity : max(result, difference)
  }
}
