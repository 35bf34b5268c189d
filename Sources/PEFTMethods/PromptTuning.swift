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

  var peftName: String {
    switch self {
    case .random: "RANDOM"
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
    self.init(
      model.description, virtualTokenCount: count, initialization: options.promptInitialization,
      prompt: Self.initialPrompt(options.promptInitialization, rows: count, model.description, seed: seed))
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

  public func seams(_ sites: [Variable]) -> any Seams { SoftPromptSeams(prompt: sites[0], count: virtualTokenCount) }

  // MARK: HF PEFT

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    let config: JSON = [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseModelName), "inference_mode": true,
      "modules_to_save": nil, "num_attention_heads": .integer(model.headCount),
      "num_layers": .integer(model.layerCount),
      "num_transformer_submodules": .integer(prompt.shape[0] / virtualTokenCount),
      "num_virtual_tokens": .integer(virtualTokenCount), "peft_type": "PROMPT_TUNING",
      "prompt_tuning_init": .string(initialization.peftName), "prompt_tuning_init_state_dict_path": nil,
      "prompt_tuning_init_text": initializationText, "revision": nil, "task_type": "SEQ_2_SEQ_LM",
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
    name: "prompt-tuning", peftType: "PROMPT_TUNING", defaultLearningRate: 0.3,
    make: { try PromptTuning($0, $1, seed: $2) },
    read: { folder, model in
      try folder.config.refuse(["modules_to_save"])
      let (count, width) = (try folder.config.dimension("num_virtual_tokens"), model.description.hiddenSize)
      let submodules = try folder.config.optionalInt("num_transformer_submodules") ?? 2
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
