import Autograd
import Checkpoints
import Foundation
import NN
import TensorCore

// Prompt tuning (Lester, Al-Rfou, Constant 2021, "The power of scale for parameter-efficient prompt tuning", §2):
// P trained vectors of the embedding's width stand in front of every embedded input; all else is frozen.
// File format and initialisation as HF PEFT `tuners/prompt_tuning`.

/// How the virtual tokens start.
public enum PromptInitialization: Sendable, Equatable {
  /// N(0, 1), as PyTorch's Embedding.
  case random
  /// Rows of the word embedding, ids drawn uniformly.
  case vocabulary
  /// Embeddings of these ids (the tokenizer's end-of-sequence included), repeated or cut to the number of rows.
  case text(ids: [Int32], text: String)
  /// One row for each label: the mean of its tokens' embeddings; the rest as `vocabulary` (Lester et al., §3.2).
  case classLabels(ids: [[Int32]])
  /// The first rows of another prompt, such as that of a related task (Vu et al. 2022, "SPoT").
  case values(Tensor, source: String)

  public static func == (a: PromptInitialization, b: PromptInitialization) -> Bool {
    switch (a, b) {
    case (.random, .random), (.vocabulary, .vocabulary): true
    case (.text(let x, let s), .text(let y, let t)): x == y && s == t
    case (.classLabels(let x), .classLabels(let y)): x == y
    case (.values(let x, _), .values(let y, _)): x.hasSameBytes(as: y)
    default: false
    }
  }

  var peftName: String {
    switch self {
    // PEFT has no name for another prompt's values either.
    case .random, .values: "RANDOM"
    case .text: "TEXT"
    // HF PEFT has no name for class labels; it matters to nobody once the prompt exists.
    case .vocabulary, .classLabels: "SAMPLE_VOCAB"
    }
  }
}

public final class PromptTuning: PEFTMethod {
  public let name = "prompt-tuning"
  /// `prompt_encoder.embedding.weight [rows, D]`; of more rows than P, as HF PEFT makes for encoder-decoders, only the
  /// first P are read.
  private let prompt: Parameter
  public let virtualTokenCount: Int
  private let initialization: PromptInitialization
  private let model: ModelDescription

  /// - Parameter rows: `P * num_transformer_submodules`; P unless an existing file has more.
  init(_ model: ModelDescription, virtualTokenCount: Int, initialization: PromptInitialization, prompt: Tensor) {
    self.model = model
    self.virtualTokenCount = virtualTokenCount
    self.initialization = initialization
    self.prompt = Parameter("prompt_encoder.embedding.weight", prompt)
  }

  public convenience init(_ options: MethodOptions, _ model: any LanguageModel, seed: UInt64) throws {
    let count = options.virtualTokenCount
    guard count > 0 else {
      throw MethodError.badOption(option: "--virtual-tokens", value: "\(count)", expected: "a positive count")
    }
    try Self.check(options.promptInitialization, count: count, model.description)
    self.init(
      model.description, virtualTokenCount: count, initialization: options.promptInitialization,
      prompt: Self.initialPrompt(options.promptInitialization, rows: count, model.description, seed: seed))
  }

  /// A prompt read from a file, as a method.
  public convenience init(prompt: Tensor, _ model: any LanguageModel, source: String) throws {
    let initialization = PromptInitialization.values(prompt, source: source)
    try Self.check(initialization, count: prompt.rows, model.description)
    self.init(model.description, virtualTokenCount: prompt.rows, initialization: initialization, prompt: prompt)
  }

  /// The rows that stand in front of the input, from an adapter folder of prompt tuning or P-tuning, or from a `.npy` file
  /// of google-research/prompt-tuning, `[P, D]`.
  ///
  /// Throws: `CheckpointError` or `MethodError` for a file with anything else.
  public static func prompt(at url: URL) throws -> Tensor {
    if url.pathExtension == "npy" {
      let array = try NumpyFile.read(url)
      guard array.shape.count == 2, array.rows > 0 else {
        throw MethodError.unfitTensors(
          path: url.path, problems: ["expected an array [tokens, width], found \(array.shape)"])
      }
      try array.requireFinite(path: url.path, name: "the array")
      return array
    }
    let folder = try AdapterFolder.read(url)
    let type = try folder.config.adapterType
    guard ["PROMPT_TUNING", "P_TUNING"].contains(type) else {
      throw MethodError.unsupported(path: folder.config.origin, key: "peft_type", value: "a prompt from '\(type)'")
    }
    let count = try folder.config.dimension("num_virtual_tokens")
    guard let rows = folder.tensors["prompt_embeddings"], rows.shape.count == 2, rows.rows >= count else {
      throw MethodError.unfitTensors(path: url.path, problems: ["expected prompt_embeddings of \(count) rows or more"])
    }
    return rows.rows(0..<count).copy()
  }

  private static func check(_ initialization: PromptInitialization, count: Int, _ model: ModelDescription) throws {
    guard case .values(let prompt, let source) = initialization else { return }
    guard prompt.width == model.hiddenSize, prompt.rows >= count else {
      throw MethodError.unfitTensors(
        path: source,
        problems: ["its prompt is \(prompt.shape); expected \(count) rows or more of width \(model.hiddenSize)"])
    }
  }

  private static func initialPrompt(
    _ initialization: PromptInitialization, rows: Int, _ model: ModelDescription, seed: UInt64
  ) -> Tensor {
    let generator = CounterGenerator(seed: seed, purpose: .initialization)
    let table = model.wordEmbedding.value
    func sampled(_ row: Int) -> [Int32] {
      [Int32(generator.integer(at: UInt64(row), below: model.vocabularySize))]
    }
    let idsOfRow: (Int) -> [Int32]
    switch initialization {
    case .values(let prompt, _): return prompt.rows(0..<rows).copy()
    case .random:
      return Initialization.normal([rows, model.hiddenSize], deviation: 1, generator)
    case .vocabulary: idsOfRow = sampled
    case .text(let ids, _): idsOfRow = { ids.isEmpty ? sampled($0) : [ids[$0 % ids.count]] }
    case .classLabels(let labels): idsOfRow = { $0 < labels.count && !labels[$0].isEmpty ? labels[$0] : sampled($0) }
    }
    let result = Tensor(zeros: [rows, model.hiddenSize])
    for row in 0..<rows {
      let ids = idsOfRow(row)
      for column in 0..<model.hiddenSize {
        let sum = ids.reduce(Float(0)) { $0 + table.pointer[Int($1) * model.hiddenSize + column] }
        result.pointer[row * model.hiddenSize + column] = sum / Float(ids.count)
      }
    }
    return result
  }

  // MARK: The method

  public var parameters: [Parameter] { [prompt] }

  public func seams(_ sites: [Variable]) -> any Seams {
    SoftPromptSeams(prompt: sites[0], count: virtualTokenCount, stack: model.sourceStack)
  }

  // MARK: HF PEFT

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    let config: JSON = [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseModelName), "inference_mode": true,
      "modules_to_save": nil, "num_attention_heads": .integer(model.headCount),
      "num_layers": .integer(model.layerCount),
      "num_transformer_submodules": .integer(prompt.shape[0] / virtualTokenCount),
      "num_virtual_tokens": .integer(virtualTokenCount), "peft_type": "PROMPT_TUNING",
      "prompt_tuning_init": .string(initialization.peftName), "prompt_tuning_init_state_dict_path": nil,
      "prompt_tuning_init_text": initializationText, "revision": nil, "task_type": .string(model.kind.rawValue),
      "token_dim": .integer(model.hiddenSize), "tokenizer_kwargs": nil,
      "tokenizer_name_or_path": initializationText == nil ? nil : .string(baseModelName),
    ]
    return AdapterFiles(config: config, tensors: ["prompt_embeddings": prompt.value])
  }

  private var initializationText: JSON {
    if case .text(_, let text) = initialization { return .string(text) }
    return nil
  }

  static let entry = MethodEntry(
    name: "prompt-tuning", peftType: "PROMPT_TUNING", defaultLearningRate: 0.3, head: .prefixed("base_model."),
    make: { try PromptTuning($0, $1, seed: $2) },
    read: { folder, model in
      try folder.config.refuse(["modules_to_save"])
      let (count, width) = (try folder.config.dimension("num_virtual_tokens"), model.description.hiddenSize)
      let submodules =
        try folder.config.optionalInt("num_transformer_submodules")
        ?? (model.description.kind == .encoderDecoder ? 2 : 1)
      guard (1...2).contains(submodules) else {
        throw folder.config.error("num_transformer_submodules", expected: "1 or 2")
      }
      let weights = folder.weights()
      let prompt = weights.scope().tensor("prompt_embeddings", [count * submodules, width])
      try weights.finish()
      return PromptTuning(
        model.description, virtualTokenCount: count, initialization: .random, prompt: prompt)
    })
}
