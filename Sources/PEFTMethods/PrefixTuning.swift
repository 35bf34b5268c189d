import Autograd
import Checkpoints
import NN
import TensorCore

// Prefix tuning (Li & Liang 2021, "Prefix-tuning: optimizing continuous prompts for generation", §4.2) as HF PEFT
// `tuners/prefix_tuning` does it: P trained keys and values in front of those of the decoder's self-attention, in head
// space, no position added. For the paper's own form see PaperPrefixTuning.swift.
//
// The matrix [P, 2 L W], W = H·K, holds 2 L entries of width W. Layer l of a model with one stack reads the entries 2 l as
// keys and 2 l + 1 as values; its tokens stand at the positions from P on. Decoder layer j of an encoder-decoder reads the entries
// (4 j) mod 2 L as keys and (4 j + 1) mod 2 L as values: PEFT doubles its list of entries and cuts it into fours, of which
// the decoder takes the first two. For even L half of the matrix is never read. Files made elsewhere mean just this, so it
// is kept.

public struct PrefixTuningConfiguration: Sendable {
  public var virtualTokenCount: Int
  /// `num_layers`: L.
  public var layerCount: Int
  /// Whether an MLP makes the matrix.
  public var isProjected: Bool
  /// `encoder_hidden_size`: E of the MLP.
  public var encoderHiddenSize: Int

  init(_ options: MethodOptions, _ model: ModelDescription) {
    virtualTokenCount = options.virtualTokenCount
    // PEFT fails on a decoder deeper than this number.
    layerCount = max(model.layerCount, model.decoderLayerCount)
    isProjected = options.prefixProjection
    encoderHiddenSize = options.encoderHiddenSize ?? model.hiddenSize
  }

  init(_ config: JSONObject, _ model: ModelDescription) throws {
    try config.refuse(["modules_to_save"])
    virtualTokenCount = try config.dimension("num_virtual_tokens")
    layerCount = try config.optionalInt("num_layers") ?? model.layerCount
    guard layerCount >= model.prefixedLayerCount, layerCount < 1 << 16 else {
      throw config.error("num_layers", expected: "at least the model's \(model.prefixedLayerCount) layers")
    }
    let width = model.headCount * model.headWidth
    guard try config.optionalInt("token_dim") ?? model.hiddenSize == width else {
      throw config.error("token_dim", expected: "heads times head width, \(width)")
    }
    guard try config.optionalInt("num_attention_heads") ?? model.headCount == model.headCount else {
      throw config.error("num_attention_heads", expected: "the model's \(model.headCount)")
    }
    isProjected = try config.optionalBool("prefix_projection") ?? false
    encoderHiddenSize =
      try config["encoder_hidden_size"].map { _ in try config.dimension("encoder_hidden_size") } ?? width
  }

  func validate() throws {
    guard virtualTokenCount > 0 else {
      throw MethodError.badOption(
        option: "--virtual-tokens", value: "\(virtualTokenCount)", expected: "a positive count")
    }
    guard encoderHiddenSize > 0 else {
      throw MethodError.badOption(
        option: "--encoder-hidden-size", value: "\(encoderHiddenSize)", expected: "a positive width")
    }
  }
}

public final class PrefixTuning: PEFTMethod {
  public let name = "prefix-tuning"
  private let configuration: PrefixTuningConfiguration
  private let model: ModelDescription
  private let encoder: PrefixEncoder
  /// Entries that decoder layers read, each a site.
  private let entries: [Int]

  /// - Parameters:
  ///   - hasNetwork: whether the MLP is at hand; an adapter without its training form holds the matrix alone.
  ///   - values: tensor for a name and shape; the initial one if nil.
  init(
    _ configuration: PrefixTuningConfiguration, _ model: ModelDescription, hasNetwork: Bool, seed: UInt64,
    values: @escaping (_ name: String, _ shape: [Int]) -> Tensor?
  ) throws {
    try configuration.validate()
    self.configuration = configuration
    self.model = model
    let width = model.headCount * model.headWidth
    encoder = PrefixEncoder(
      "prompt_encoder", count: configuration.virtualTokenCount, width: 2 * configuration.layerCount * width,
      projection: hasNetwork ? (width, configuration.encoderHiddenSize) : nil, seed: seed, values: values)
    let entryCount = 2 * configuration.layerCount
    entries = Set(
      (0..<model.prefixedLayerCount).flatMap { layer in
        let first = Self.keyEntry(layer: layer, entryCount: entryCount, model.kind)
        return [first, first + 1]
      }
    ).sorted()
  }

  /// The entry that a layer reads as keys; its values are the next one.
  private static func keyEntry(layer: Int, entryCount: Int, _ kind: ModelKind) -> Int {
    (kind == .encoderDecoder ? 4 * layer : 2 * layer) % entryCount
  }

  // MARK: The method

  public var parameters: [Parameter] { encoder.parameters }
  public var occupiedPositionCount: Int { configuration.virtualTokenCount }

  public func materialise(_ parameters: [Variable], _ tape: Tape) -> [Variable] {
    let matrix = encoder.output(parameters[...], tape)
    let width = model.headCount * model.headWidth
    return entries.map { tape.columns(matrix, $0 * width..<($0 + 1) * width) }
  }

  public func seams(_ sites: [Variable]) -> any Seams {
    PrefixSeams(
      sites: Dictionary(uniqueKeysWithValues: zip(entries, sites)), entryCount: 2 * configuration.layerCount,
      model: model.kind)
  }

  private struct PrefixSeams: Seams {
    let sites: [Int: Variable]
    let entryCount: Int
    let model: ModelKind

    func keyValuePrefix(
      layer: Int, _ kind: AttentionKind, _ pass: ForwardPass
    ) -> (keys: Variable, values: Variable)? {
      let entry = PrefixTuning.keyEntry(layer: layer, entryCount: entryCount, model)
      guard kind == (model == .classifier ? .encoderSelf : .decoderSelf), let keys = sites[entry],
        let values = sites[entry + 1]
      else { return nil }
      return (keys, values)
    }
  }

  // MARK: HF PEFT

  private var matrix: Tensor {
    encoder.output(
      parameters.map { Variable(constant: $0.value) }[...], Tape(pool: BufferPool(), recordsGradients: false)
    )
    .value
  }

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    let config: JSON = [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseModelName),
      "encoder_hidden_size": .integer(configuration.encoderHiddenSize), "inference_mode": true, "init_weights": nil,
      "modules_to_save": nil, "num_attention_heads": .integer(model.headCount),
      "num_layers": .integer(configuration.layerCount),
      "num_transformer_submodules": .integer(model.kind == .encoderDecoder ? 2 : 1),
      "num_virtual_tokens": .integer(configuration.virtualTokenCount), "peft_type": "PREFIX_TUNING",
      "prefix_projection": .bool(configuration.isProjected), "revision": nil, "task_type": .string(model.kind.rawValue),
      "token_dim": .integer(model.headCount * model.headWidth),
    ]
    let training = encoder.isProjected ? parameters.map { ($0.name, $0.value) } : []
    return AdapterFiles(
      config: config, tensors: ["prompt_embeddings": matrix],
      trainingTensors: Dictionary(uniqueKeysWithValues: training))
  }

  static let entry = MethodEntry(
    name: "prefix-tuning", peftType: "PREFIX_TUNING", defaultLearningRate: 1e-2, head: .prefixed("base_model."),
    make: { options, model, seed in
      let configuration = PrefixTuningConfiguration(options, model.description)
      return try PrefixTuning(
        configuration, model.description, hasNetwork: configuration.isProjected, seed: seed, values: { _, _ in nil })
    },
    read: { folder, model in
      let configuration = try PrefixTuningConfiguration(folder.config, model.description)
      let hasNetwork = configuration.isProjected && !folder.trainingTensors.isEmpty
      let weights = hasNetwork ? folder.trainingWeights() : folder.weights()
      let method = try PrefixTuning(configuration, model.description, hasNetwork: hasNetwork, seed: 0) { name, shape in
        weights.scope().tensor(hasNetwork ? name : "prompt_embeddings", shape)
      }
      try weights.finish()
      if hasNetwork { try folder.requireSame(["prompt_embeddings": method.matrix]) }
      return method
    })
}

extension ModelDescription {
  /// Layers whose attention a prefix reaches.
  fileprivate var prefixedLayerCount: Int {
    [ModelKind.classifier, .maskedTokens].contains(kind) ? layerCount : decoderLayerCount
  }
}
