import Autograd
import CKernels
import Checkpoints
import Foundation
import NN
import TensorCore

// Bottleneck adapters: a(h) = U f(W h + b) + c with W [B, D], U [D, B] in the residual stream, B = D ÷ reduction factor.
// For the output o of a sub-layer with residual input x:
//   Pfeiffer et al. 2021 ("AdapterFusion", §2.2.2): after the feed-forward,                x + o + a(x + o)
//     where a norm N follows the residual addition (BERT),                               N(x + o + a(N(x + o)))
//   Houlsby et al. 2019 ("Parameter-efficient transfer learning for NLP", §2.1): after self-attention and feed-forward,
//                                                                                          x + o + a(o)
// Formulas, names and file format of the library `adapters` (`seq_bn`, `double_seq_bn`); HF PEFT has no such method.
// Houlsby et al. train the layer norms too; the library and this program do not.

/// Where adapters stand.
public enum AdapterPlacement: String, Sendable, CaseIterable {
  /// One in each block, after the feed-forward.
  case pfeiffer
  /// Two in each block, after self-attention and after the feed-forward.
  case houlsby
}

public struct BottleneckConfiguration: Sendable {
  public var placement: AdapterPlacement
  public var reductionFactor: Double
  /// The library's name of f: relu, swish (the same as silu), gelu, gelu_new or tanh.
  public var nonLinearity: String

  static let activations: [String: Activation] = [
    "relu": ACTIVATION_RELU, "swish": ACTIVATION_SILU, "silu": ACTIVATION_SILU, "gelu": ACTIVATION_GELU,
    "gelu_new": ACTIVATION_GELU_NEW, "tanh": ACTIVATION_TANH,
  ]

  init(_ options: MethodOptions) {
    placement = options.adapterPlacement
    reductionFactor = options.reductionFactor
    nonLinearity = options.nonLinearity ?? (placement == .pfeiffer ? "relu" : "swish")
  }

  /// - Parameter config: the object `config` of the library's `adapter_config.json`.
  init(_ config: JSONObject) throws {
    try config.refuse([
      "cross_adapter", "is_parallel", "ln_after", "ln_before", "inv_adapter", "leave_out", "phm_layer", "use_gating",
      "dropout", "stochastic_depth", "adapter_residual_before_ln",
    ])
    guard try config.optionalBool("output_adapter") ?? true else {
      throw config.error("output_adapter", expected: "true")
    }
    guard try config.optionalDouble("scaling") ?? 1 == 1 else { throw config.error("scaling", expected: "1") }
    placement = try config.bool("mh_adapter") ? .houlsby : .pfeiffer
    // With `original_ln_before` the adapter sees the residual sum; one per block does, two do not.
    guard try config.bool("original_ln_before") == (placement == .pfeiffer) else {
      throw config.error("original_ln_before", expected: placement == .pfeiffer ? "true" : "false")
    }
    reductionFactor = try config.double("reduction_factor")
    nonLinearity = try config.string("non_linearity")
  }

  func validate() throws {
    guard reductionFactor > 0, reductionFactor.isFinite else {
      throw MethodError.badOption(
        option: "--reduction-factor", value: "\(reductionFactor)", expected: "a positive number")
    }
    guard Self.activations[nonLinearity] != nil else {
      throw MethodError.badOption(
        option: "--non-linearity", value: nonLinearity,
        expected: Self.activations.keys.sorted().joined(separator: ", "))
    }
  }

  /// Wider than any layer of a known model.
  private static let largestSize = 1048576.0

  /// B for a model of width D.
  func bottleneckSize(_ hiddenSize: Int) throws -> Int {
    let size = Double(hiddenSize) / reductionFactor
    guard size >= 1, size <= Self.largestSize else {
      throw MethodError.badOption(
        option: "--reduction-factor", value: "\(reductionFactor)",
        expected: "\(Double(hiddenSize) / Self.largestSize) to the width, \(hiddenSize)")
    }
    return Int(size)
  }
}

public final class BottleneckAdapter: PEFTMethod {
  public let name = "adapter"
  public let parameters: [Parameter]
  private let configuration: BottleneckConfiguration
  private let model: ModelDescription
  /// What the library calls the adapter: part of the names of its tensors.
  private let adapterName: String
  /// Path of a sub-layer to the index of its first site: down weight, down bias, up weight, up bias.
  private let places: [String: Int]

  /// - Parameter values: tensor for a name and shape; the initial one if nil.
  init(
    _ configuration: BottleneckConfiguration, _ model: any LanguageModel, name adapterName: String = "default",
    values: (_ name: String, _ shape: [Int]) -> Tensor?, seed: UInt64
  ) throws {
    try configuration.validate()
    self.configuration = configuration
    self.adapterName = adapterName
    self.model = model.description
    let (width, size) = (model.description.hiddenSize, try configuration.bottleneckSize(model.description.hiddenSize))
    var parameters: [Parameter] = []
    var places: [String: Int] = [:]
    for sublayer in model.description.sublayers
    where sublayer.kind == .feedForward || sublayer.kind == .selfAttention && configuration.placement == .houlsby {
      places[sublayer.path] = parameters.count
      let shapes = [
        ("adapter_down.0.weight", [size, width]), ("adapter_down.0.bias", [size]),
        ("adapter_up.weight", [width, size]), ("adapter_up.bias", [width]),
      ]
      for (part, shape) in shapes {
        let name = "\(sublayer.path).adapters.\(adapterName).\(part)"
        let generator = CounterGenerator(seed: seed, purpose: .initialization, site: UInt32(parameters.count))
        let initial = {
          shape.count == 1 ? Tensor(zeros: shape) : Initialization.normal(shape, deviation: 0.02, generator)
        }
        parameters.append(Parameter(name, values(name, shape) ?? initial()))
      }
    }
    self.parameters = parameters
    self.places = places
  }

  // MARK: The method

  public func seams(_ sites: [Variable]) -> any Seams {
    BottleneckSeams(
      places: places, sites: sites,
      activation: BottleneckConfiguration.activations[configuration.nonLinearity] ?? ACTIVATION_RELU,
      addsResidual: configuration.placement == .pfeiffer)
  }

  private struct BottleneckSeams: Seams {
    let places: [String: Int]
    let sites: [Variable]
    let activation: Activation
    /// Whether the adapter reads x + o instead of o.
    let addsResidual: Bool

    func adapts(sublayer path: String) -> Bool { places[path] != nil }

    func sublayerOutput(
      path: String, _ output: Variable, residual: Variable, norm: ((Variable) -> Variable)?, _ pass: ForwardPass
    ) -> Variable? {
      guard let first = places[path] else { return nil }
      let tape = pass.tape
      var input = output
      if addsResidual {
        input = tape.residual(residual, adding: output)
        if let norm { input = norm(input) }
      }
      let down = tape.linear(input, weight: sites[first], bias: sites[first + 1])
      let up = tape.linear(tape.activation(activation, down), weight: sites[first + 2], bias: sites[first + 3])
      return tape.residual(output, adding: up)
    }
  }

  // MARK: The library's files

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    let isDouble = configuration.placement == .houlsby
    let options: JSON = [
      "adapter_residual_before_ln": false, "cross_adapter": false, "dropout": 0.0, "factorized_phm_W": true,
      "factorized_phm_rule": false, "hypercomplex_nonlinearity": "glorot-uniform", "init_weights": "bert",
      "init_weights_seed": nil, "inv_adapter": nil, "inv_adapter_reduction_factor": nil, "is_parallel": false,
      "learn_phm": true, "leave_out": [], "ln_after": false, "ln_before": false, "mh_adapter": .bool(isDouble),
      "non_linearity": .string(configuration.nonLinearity), "original_ln_after": true,
      "original_ln_before": .bool(!isDouble), "output_adapter": true, "phm_bias": true, "phm_c_init": "normal",
      "phm_dim": 4, "phm_init_range": 0.0001, "phm_layer": false, "phm_rank": 1,
      "reduction_factor": .number(configuration.reductionFactor), "residual_before_ln": true, "scaling": 1.0,
      "shared_W_phm": false, "shared_phm_rule": true, "stochastic_depth": 0.0, "use_gating": false,
    ]
    let config: JSON = [
      "config": options, "hidden_size": .integer(model.hiddenSize), "model_class": .string(model.architecture),
      "model_name": .string(baseModelName), "model_type": .string(model.modelType), "name": .string(adapterName),
      "version": "adapters.1.3.0",
    ]
    return AdapterFiles(
      config: config, tensors: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) }))
  }

  /// What stands for a `peft_type` in a folder of the library.
  static let folderType = "ADAPTER"

  /// What lies beside the adapter is a classifier's head, which is read elsewhere, or else the head that the base has.
  private static func requireKnownHead(_ folder: AdapterFolder, _ model: any LanguageModel) throws {
    for (name, tensor) in folder.trainingTensors.sorted(by: { $0.key < $1.key }) {
      let head = model.description.linears.last { model.description.outputHeadPaths.contains($0.path) }
      let base = name == head.map { "\($0.path).weight" } ? head?.weight : model.parameters.first { $0.name == name }
      guard let base, base.value.hasSameBytes(as: tensor) else {
        throw MethodError.unsupported(
          path: folder.url.path, key: name, value: "a head that is not that of a \(model.description.architecture)")
      }
    }
  }

  static let entry = MethodEntry(
    name: "adapter", peftType: folderType, defaultLearningRate: 3e-3, head: .apart,
    make: { options, model, seed in
      try BottleneckAdapter(BottleneckConfiguration(options), model, values: { _, _ in nil }, seed: seed)
    },
    read: { folder, model in
      try requireKnownHead(folder, model)
      let weights = folder.weights()
      let method = try BottleneckAdapter(
        BottleneckConfiguration(folder.config.object("config")), model,
        name: folder.config.optionalString("name") ?? "default",
        values: { weights.scope().tensor($0, $1) }, seed: 0)
      try weights.finish()
      return method
    })
}
