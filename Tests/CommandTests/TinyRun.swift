import Checkpoints
import Foundation
import Models
import TensorCore
import TestSupport

/// A T5 of 100,000 random weights and a few generated reviews in a temporary folder, and runs of `peft-dist`
/// on them.
///
/// All of it is a pure function of constants, so two instances hold the same bytes. The folder goes with the
/// instance.
final class TinyRun {
  let folder: URL
  var model: URL { folder.appending(path: "model") }
  var data: URL { folder.appending(path: "data") }
  var cache: URL { folder.appending(path: "cache") }

  static let trainCount = 60
  static let testCount = 20

  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: model, withIntermediateDirectories: true)
    try FileManager.default.createDirectory(at: data, withIntermediateDirectories: true)
    try writeModel()
    try Reviews.text(count: Self.trainCount, from: 0).write(to: file("data/train.jsonl"))
    try Reviews.text(count: Self.testCount, from: 1000).write(to: file("data/test.jsonl"))
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  /// A path inside the folder.
  func file(_ path: String) -> URL { folder.appending(path: path) }

  // MARK: Running

  /// `peft-dist COMMAND …`, unbound, to its end.
  ///
  /// - Parameters:
  ///   - faults: what goes wrong on which rank in which step, see `FaultInjection`.
  ///   - kernels: the kernel set; nil for that of the tests.
  func run(
    _ arguments: [String], ranks: Int? = nil, input: String = "", faults: String = "", kernels: String? = nil,
    timeoutSeconds: Double = 60
  ) throws -> MPIRun {
    var environment = environment.merging(["PEFT_DIST_FAULT": faults]) { $1 }
    if let kernels { environment["PEFT_DIST_KERNELS"] = kernels }
    return try MPIRun(
      "peft-dist", ranks: ranks, flags: ["--bind-to", "none"], arguments: arguments, input: input,
      environment: environment, timeoutSeconds: timeoutSeconds)
  }

  /// The same, still running.
  func start(_ arguments: [String], ranks: Int? = nil, faults: String = "") throws -> RunningProgram {
    try RunningProgram(
      "peft-dist", ranks: ranks, flags: ["--bind-to", "none"], arguments: arguments,
      environment: environment.merging(["PEFT_DIST_FAULT": faults]) { $1 })
  }

  private var environment: [String: String] { ["XDG_CACHE_HOME": cache.path] }

  /// Arguments of a training run into `output`: two epochs in batches of 7, several leaves each.
  func training(to output: String, threads: Int = 1, _ more: [String] = []) -> [String] {
    [
      "train", "--model", model.path, "--task", "imdb", "--data-dir", data.path, "--output", file(output).path,
      "--threads-per-rank", "\(threads)", "--global-batch-size", "7", "--epochs", "2", "--leaf-tokens", "64",
      "--max-source-length", "48", "--validation-fraction", "0.15", "--dropout", "0.1",
    ] + more
  }

  /// Arguments of an evaluation of the test reviews.
  func evaluation(_ more: [String] = []) -> [String] {
    [
      "evaluate", "--model", model.path, "--task", "imdb", "--data-dir", data.path, "--threads-per-rank", "1",
      "--leaf-tokens", "64", "--max-source-length", "48",
    ] + more
  }

  // MARK: The model

  static let config: JSON = [
    "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 1128, "d_model": 32,
    "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2,
    "feed_forward_proj": "relu", "tie_word_embeddings": true, "dropout_rate": 0.1, "pad_token_id": 0,
    "eos_token_id": 1, "decoder_start_token_id": 0, "relative_attention_num_buckets": 32,
  ]

  /// The random weights; embeddings of deviation 1, projections that keep the scale of their input.
  static func weights() throws -> [(String, Tensor)] {
    guard case .object(let members) = config else { return [] }
    let configuration = try T5Configuration(JSONObject(members, origin: "config"), generation: nil)
    let shapes = T5.weightShapes(configuration, hasOwnHead: false)
    return shapes.enumerated().map { index, weight in
      let tensor = Tensor(zeros: weight.shape)
      let generator = CounterGenerator(seed: 5, purpose: .initialization, site: UInt32(index))
      let isEmbedding = weight.name == "shared.weight"
      let bound = isEmbedding ? 1.7 : 1.7 / Double(weight.shape.last ?? 1).squareRoot()
      for element in 0..<tensor.count {
        let value = (2 * generator.uniform(at: UInt64(element)) - 1) * bound
        tensor.pointer[element] = weight.shape.count == 1 ? 1 : Float(value)
      }
      return (weight.name, tensor)
    }
  }

  /// Bytes of `model.safetensors`, made once.
  private static let weightsFile = Result {
    let url = FileManager.default.temporaryDirectory.appending(
      path: "peft-dist-\(UUID().uuidString).safetensors")
    defer { try? FileManager.default.removeItem(at: url) }
    try SafetensorsWriter.write(tensors: weights(), to: url)
    return try Data(contentsOf: url)
  }

  private func writeModel() throws {
    try Data(Self.config.encoded().utf8).write(to: file("model/config.json"))
    try Self.weightsFile.get().write(to: file("model/model.safetensors"))
    for name in ["spiece.model", "tokenizer_config.json"] {
      try FileManager.default.copyItem(
        at: Self.goldens.appending(path: "tokenizers/t5/\(name)"), to: model.appending(path: name))
    }
  }

  static let goldens = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Goldens")
}

/// Film reviews of 4 to 43 words, good and bad in turn.
enum Reviews {
  private static let words = """
    the a film movie plot actor actress scene story director music camera dialogue ending script was is were \
    with and but of in to for that this it very quite rather often never slowly quickly again almost
    """.split(separator: " ")
  private static let opinions = [
    ["dull", "awful", "boring", "weak"], ["great", "lovely", "moving", "strong"],
  ]

  static func text(count: Int, from first: Int) -> Data {
    Data((first..<first + count).map { line(number: $0) + "\n" }.joined().utf8)
  }

  private static func line(number: Int) -> String {
    let generator = CounterGenerator(seed: 3, purpose: .sampling, site: UInt32(number))
    let label = number % 2
    let text = (0..<4 + generator.integer(at: 0, below: 40)).map { place in
      let choices = generator.integer(at: UInt64(2 * place + 1), below: 4) == 0 ? opinions[label] : []
      let index = UInt64(2 * place + 2)
      return choices.isEmpty
        ? String(words[generator.integer(at: index, below: words.count)])
        : choices[generator.integer(at: index, below: choices.count)]
    }
    let row: JSON = ["text": .string(text.joined(separator: " ")), "label": .integer(label)]
    return row.encoded(.compact)
  }
}
