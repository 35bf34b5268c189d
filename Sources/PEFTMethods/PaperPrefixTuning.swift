import Autograd
import Checkpoints
import NN
import TensorCore

// Prefix tuning in its paper's own form (Li & Liang 2021, §4.2 and §4.3): every layer has P trained keys and values of its
// own, with separate prefixes for the encoder's self-attention, the decoder's self-attention and its cross-attention.
// HF PEFT's form under the name prefix tuning is another (PrefixTuning.swift), so this one has a `peft_type` that PEFT does
// not know, and its files are this program's alone: `KIND.embedding.weight` as trained, or with the MLP besides
// `KIND.transform.{0,2}.{weight,bias}`; KIND is `encoder_self`, `decoder_self` or `cross`.

public final class PaperPrefixTuning: PEFTMethod {
  public let name = "prefix-tuning-paper"
  private let count: Int
  private let encoderHiddenSize: Int
  private let model: ModelDescription
  private let groups: [Group]

  /// The prefixes of one kind of attention: entry 2 l is the keys of layer l, 2 l + 1 its values.
  private struct Group {
    let kind: AttentionKind
    let encoder: PrefixEncoder
    let layerCount: Int
  }

  /// - Parameters:
  ///   - isProjected: whether an MLP makes each matrix (eq. 6).
  ///   - values: tensor for a name and shape; the initial one if nil.
  init(
    count: Int, isProjected: Bool, encoderHiddenSize: Int, _ model: ModelDescription, seed: UInt64,
    values: @escaping (_ name: String, _ shape: [Int]) -> Tensor?
  ) throws {
    guard count > 0 else {
      throw MethodError.badOption(option: "--virtual-tokens", value: "\(count)", expected: "a positive count")
    }
    guard encoderHiddenSize > 0 else {
      throw MethodError.badOption(
        option: "--encoder-hidden-size", value: "\(encoderHiddenSize)", expected: "a positive width")
    }
    self.count = count
    self.encoderHiddenSize = encoderHiddenSize
    self.model = model
    let kinds: [(AttentionKind, String, Int)] = [
      (.encoderSelf, "encoder_self", model.layerCount), (.decoderSelf, "decoder_self", model.decoderLayerCount),
      (.cross, "cross", model.decoderLayerCount),
    ]
    let present: [AttentionKind] =
      switch model.kind {
      case .encoderDecoder: [.encoderSelf, .decoderSelf, .cross]
      case .decoder: [.decoderSelf]
      case .classifier, .maskedTokens: [.encoderSelf]
      }
    groups = kinds.filter { present.contains($0.0) }.enumerated().map { number, kind in
      Group(
        kind: kind.0,
        encoder: PrefixEncoder(
          kind.1, firstSite: 8 * number, count: count, width: 2 * kind.2 * model.headCount * model.headWidth,
          projection: isProjected ? (model.hiddenSize, encoderHiddenSize) : nil, seed: seed, values: values),
        layerCount: kind.2)
    }
  }

  // MARK: The method

  public var parameters: [Parameter] { groups.flatMap(\.encoder.parameters) }
  public var occupiedPositionCount: Int { count }

  public func materialise(_ parameters: [Variable], _ tape: Tape) -> [Variable] {
    let width = model.headCount * model.headWidth
    var rest = parameters[...]
    return groups.flatMap { group in
      let own = rest.prefix(group.encoder.parameters.count)
      rest = rest.dropFirst(own.count)
      let matrix = group.encoder.output(own, tape)
      return (0..<2 * group.layerCount).map { tape.columns(matrix, $0 * width..<($0 + 1) * width) }
    }
  }

  public func seams(_ sites: [Variable]) -> any Seams {
    var first: [AttentionKind: Int] = [:]
    var next = 0
    for group in groups {
      first[group.kind] = next
      next += 2 * group.layerCount
    }
    return PrefixSeams(sites: sites, first: first)
  }

  private struct PrefixSeams: Seams {
    let sites: [Variable]
    /// Index of the first site of each kind.
    let first: [AttentionKind: Int]

    func keyValuePrefix(
      layer: Int, _ kind: AttentionKind, _ pass: ForwardPass
    ) -> (keys: Variable, values: Variable)? {
      first[kind].map { (sites[$0 + 2 * layer], sites[$0 + 2 * layer + 1]) }
    }
  }

  // MARK: Files

  private static let peftType = "PREFIX_TUNING_PAPER"

  public func adapterFiles(baseModelName: String) -> AdapterFiles {
    let isProjected = groups.contains { $0.encoder.isProjected }
    let config: JSON = [
      "base_model_name_or_path": .string(baseModelName), "encoder_hidden_size": .integer(encoderHiddenSize),
      "inference_mode": true, "num_virtual_tokens": .integer(count), "peft_type": .string(Self.peftType),
      "prefix_projection": .bool(isProjected), "task_type": .string(model.kind.rawValue),
    ]
    return AdapterFiles(
      config: config, tensors: Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.value) }))
  }

  static let entry = MethodEntry(
    name: "prefix-tuning-paper", peftType: peftType, defaultLearningRate: 1e-2, head: .prefixed("base_model."),
    make: { options, model, seed in
      try PaperPrefixTuning(
        count: options.virtualTokenCount, isProjected: options.prefixProjection,
        encoderHiddenSize: options.encoderHiddenSize ?? model.description.hiddenSize, model.description, seed: seed,
        values: { _, _ in nil })
    },
    read: { folder, model in
      let weights = folder.weights()
      let method = try PaperPrefixTuning(
        count: folder.config.dimension("num_virtual_tokens"),
        isProjected: folder.config.bool("prefix_projection"),
        encoderHiddenSize: folder.config.dimension("encoder_hidden_size"), model.description, seed: 0,
        values: { weights.scope().tensor($0, $1) })
      try weights.finish()
      return method
    })
}
