import Autograd
import CKernels
import Checkpoints
import NN
import TensorCore

// P-tuning (Liu et al. 2021, "GPT understands, too", §3.2): the virtual tokens in front of the input come out of a small
// network, a prompt encoder, over R trained vectors: a bidirectional LSTM and an MLP, or an MLP alone. As HF PEFT
// `tuners/p_tuning` has it: tokens in front, the network run once per step over all rows, its output saved.

/// The network of a prompt encoder: `encoder_reparameterization_type`.
public enum PromptEncoderKind: String, Sendable, CaseIterable {
  case mlp = "MLP"
  case lstm = "LSTM"
}

public struct PTuningConfiguration: Sendable {
  public var virtualTokenCount: Int
  /// Rows the network is run over: P, or 2 P where PEFT made the file (it counts encoder and decoder; the first P serve).
  public var rowCount: Int
  public var kind: PromptEncoderKind
  /// E
  public var hiddenSize: Int
  /// Layers of the LSTM; the MLP always has three.
  public var layerCount: Int

  init(_ options: MethodOptions, _ model: ModelDescription) {
    virtualTokenCount = options.virtualTokenCount
    rowCount = options.virtualTokenCount
    kind = options.promptEncoder
    hiddenSize = options.encoderHiddenSize ?? model.hiddenSize
    layerCount = options.encoderLayerCount
  }

  init(_ config: JSONObject, _ model: ModelDescription) throws {
    // `encoder_dropout` is a rate that PEFT does not use either.
    try config.refuse(["modules_to_save"])
    virtualTokenCount = try config.dimension("num_virtual_tokens")
    let submodules = try config.optionalInt("num_transformer_submodules") ?? (model.kind == .encoderDecoder ? 2 : 1)
    guard (1...2).contains(submodules) else { throw config.error("num_transformer_submodules", expected: "1 or 2") }
    rowCount = virtualTokenCount * submodules
    let name = try config.optionalString("encoder_reparameterization_type") ?? "MLP"
    guard let kind = PromptEncoderKind(rawValue: name) else {
      throw config.error("encoder_reparameterization_type", expected: "MLP or LSTM")
    }
    self.kind = kind
    hiddenSize =
      try config["encoder_hidden_size"].map { _ in try config.dimension("encoder_hidden_size") } ?? model.hiddenSize
    layerCount = try config["encoder_num_layers"].map { _ in try config.int("encoder_num_layers", in: 1...64) } ?? 2
  }

  func validate() throws {
    for (option, value) in [
      ("--virtual-tokens", virtualTokenCount), ("--encoder-hidden-size", hiddenSize), ("--encoder-layers", layerCount),
    ] where value <= 0 {
      throw MethodError.badOption(option: option, value: "\(value)", expected: "a positive count")
    }
  }
}

public final class PTuning: PEFTMethod {
  public let name = "p-tuning"
  public let parameters: [Parameter]
  private let configuration: PTuningConfiguration
  private let model: ModelDescription
  /// Whether the network is at hand; an adapter without its training form holds the rows alone.
  private let hasNetwork: Bool

  /// - Parameter values: tensor for a name and shape; the initial one if nil.
  init(
    _ configuration: PTuningConfiguration, _ model: ModelDescription, hasNetwork: Bool, seed: UInt64,
    values: @escaping (_ name: String, _ shape: [Int]) -> Tensor?
  ) throws {
    try configuration.validate()
    self.configuration = configuration
    self.model = model
    self.hasNetwork = hasNetwork
    let (width, hidden) = (model.hiddenSize, configuration.hiddenSize)
    var builder = NetworkBuilder("prompt_encoder", seed: seed, values: values)
    builder.embedding("embedding", [configuration.rowCount, width])
    switch configuration.kind {
    case _ where !hasNetwork: break
    case .mlp:
      builder.linear("mlp_head.0", inputs: width, outputs: hidden)
      builder.linear("mlp_head.2", inputs: hidden, outputs: hidden)
      builder.linear("mlp_head.4", inputs: hidden, outputs: width)
    case .lstm:
      let bound = 1 / Double(hidden).squareRoot()
      for layer in 0..<configuration.layerCount {
        for direction in ["", "_reverse"] {
          let inputs = layer == 0 ? width : 2 * hidden
          let suffix = "l\(layer)\(direction)"
          builder.uniform("lstm_head.weight_ih_\(suffix)", [4 * hidden, inputs], bound: bound)
          builder.uniform("lstm_head.weight_hh_\(suffix)", [4 * hidden, hidden], bound: bound)
          builder.uniform("lstm_head.bias_ih_\(suffix)", [4 * hidden], bound: bound)
          builder.uniform("lstm_head.bias_hh_\(suffix)", [4 * hidden], bound: bound)
        }
      }
      builder.linear("mlp_head.0", inputs: 2 * hidden, outputs: 2 * hidden)
      builder.linear("mlp_head.2", inputs: 2 * hidden, outputs: width)
    }
    parameters = builder.parameters
  }

  /// As an adapter folder holds it: with its network where that is there, otherwise what the network made.
  convenience init(_ folder: AdapterFolder, _ model: any LanguageModel) throws {
    let hasNetwork = !folder.trainingTensors.isEmpty
    let weights = hasNetwork ? folder.trainingWeights() : folder.weights()
    try self.init(
      PTuningConfiguration(folder.config, model.description), model.description, hasNetwork: hasNetwork, seed: 0
    ) { weights.scope().tensor(hasNetwork ? $0 : "prompt_embeddings", $1) }
    try weights.finish()
    if hasNetwork { try folder.requireSame(["prompt_embeddings": siteValues[0]]) }
  }

  // MARK: The method

  public var virtualTokenCount: Int { configuration.virtualTokenCount }

  public func materialise(_ parameters: [Variable], _ tape: Tape) -> [Variable] {
    var network = NetworkVariables(parameters[...])
    var rows = network.next()
    guard hasNetwork else { return [rows] }
    if configuration.kind == .lstm {
      for _ in 0..<configuration.layerCount {
        let (forward, backward) = (network.lstm(), network.lstm())
        rows = tape.besides(
          tape.lstm(rows, forward, isReversed: false), tape.lstm(rows, backward, isReversed: true))
      }
    }
    for _ in 0..<(configuration.kind == .lstm ? 1 : 2) {
      rows = tape.activation(ACTIVATION_RELU, network.linear(rows, tape))
    }
    return [network.linear(rows, tape)]
  }

  public func seams(_ sites: [Variable]) -> any Seams {
    SoftPromptSeams(prompt: sites[0], count: virtualTokenCount, stack: model.sourceStack)
  }

  // MARK: HF PEFT

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    let c = configuration
    let config: JSON = [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseModelName), "encoder_dropout": 0.0,
      "encoder_hidden_size": .integer(c.hiddenSize), "encoder_num_layers": .integer(c.layerCount),
      "encoder_reparameterization_type": .string(c.kind.rawValue), "inference_mode": true, "modules_to_save": nil,
      "num_attention_heads": .integer(model.headCount), "num_layers": .integer(model.layerCount),
      "num_transformer_submodules": .integer(c.rowCount / c.virtualTokenCount),
      "num_virtual_tokens": .integer(c.virtualTokenCount), "peft_type": "P_TUNING", "revision": nil,
      "task_type": .string(model.kind.rawValue), "token_dim": .integer(model.hiddenSize),
    ]
    let training = hasNetwork ? parameters.map { ($0.name, $0.value) } : []
    return AdapterFiles(
      config: config, tensors: ["prompt_embeddings": siteValues[0]],
      trainingTensors: Dictionary(uniqueKeysWithValues: training))
  }

  static let entry = MethodEntry(
    name: "p-tuning", peftType: "P_TUNING", defaultLearningRate: 1e-3, head: .prefixed("base_model."),
    make: { options, model, seed in
      try PTuning(
        PTuningConfiguration(options, model.description), model.description, hasNetwork: true, seed: seed,
        values: { _, _ in nil })
    },
    read: { folder, model in try PTuning(folder, model) })
}

extension NetworkVariables {
  /// The next four as one direction of an LSTM layer.
  fileprivate mutating func lstm() -> LSTMWeights {
    let (input, recurrent, inputBias, recurrentBias) = (next(), next(), next(), next())
    return LSTMWeights(input: input, recurrent: recurrent, inputBias: inputBias, recurrentBias: recurrentBias)
  }
}
