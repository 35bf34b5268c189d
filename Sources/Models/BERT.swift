import Autograd
import CKernels
import Checkpoints
import Foundation
import NN
import TensorCore

/// BERT or RoBERTa with a head for sequence classification (HF `BertForSequenceClassification`, `RobertaForSequenceClassification`),
/// which reads the first position. C labels.
public final class BERT: ClassifierModel {
  public let configuration: BERTConfiguration
  public let description: ModelDescription
  public let parameters: [Parameter]
  private let encoder: BERTEncoder
  /// `tanh(dense(h₀))`: BERT's pooler, the first half of RoBERTa's head.
  private let dense: Linear
  private let scores: Linear

  /// Builds the model over the weights of `folder`, whose names may lack the prefix of the family. What the folder lacks of
  /// the head starts from random values.
  ///
  /// Throws: `CheckpointError` for a folder of another architecture, a bad configuration, and, all in one message, the
  /// weights that are missing, misshapen or left over.
  public init(_ folder: ModelFolder, head request: HeadRequest = HeadRequest()) throws {
    try folder.requireModelType("bert", "roberta")
    let family = BERTConfiguration.Family(rawValue: folder.modelType ?? "") ?? .bert
    let config = try BERTConfiguration(folder.config, family: family, request: request)
    configuration = config
    let prefix = family.rawValue
    let weights = folder.weights { BERTEncoder.currentName($0, prefix: prefix) }
    let scope = weights.scope(prefix)
    let (hidden, labelCount) = (config.hiddenSize, config.labels.count)
    encoder = BERTEncoder(scope, config)

    let fresh = FreshHead(deviation: config.initializerRange, seed: request.seed)
    let isRoBERTa = family == .roberta
    let denseScope = isRoBERTa ? weights.scope("classifier") : scope.scope("pooler")
    dense = fresh.linear("dense", inputs: hidden, outputs: hidden, denseScope)
    let (scoresName, scoresScope) = isRoBERTa ? ("out_proj", denseScope) : ("classifier", weights.scope())
    let found = scoresScope.shape("\(scoresName).weight").flatMap { $0 == [labelCount, hidden] ? nil : $0.first }
    if let found, request.labels != nil || request.problem != nil, !request.replacesOtherSize {
      throw CheckpointError.otherHead(
        path: folder.url.path, found: found,
        names: try BERTConfiguration.labels(folder.config) ?? (0..<found).map { "LABEL_\($0)" },
        wanted: config.labels)
    }
    scores = fresh.linear(
      scoresName, inputs: hidden, outputs: labelCount, scoresScope, replacesOtherSize: request.replacesOtherSize)
    try weights.finish(tolerated: [
      "lm_head.*", "cls.*", "\(prefix).pooler.*", "*.embeddings.position_ids", "*.embeddings.token_type_ids",
    ])
    let headLinears = isRoBERTa ? [dense, scores] : [scores]
    let head = ClassifierHead(
      module: "classifier", parameters: headLinears.flatMap(\.parameters), problem: config.problem,
      labels: config.labels, isFresh: fresh.madeAny, replacedLabelCount: request.replacesOtherSize ? found : nil)
    let linears = encoder.linears + [dense, scores]
    parameters = encoder.parameters + dense.parameters + scores.parameters
    description = ModelDescription(
      modelType: family.rawValue, hiddenSize: hidden, vocabularySize: config.vocabularySize,
      layerCount: config.layerCount, decoderLayerCount: 0, headCount: config.headCount, headWidth: config.headWidth,
      dropoutRates: config.dropoutRates, kind: .classifier, linears: linears,
      sublayers: encoder.sublayers,
      outputHeadPaths: headLinears.map(\.path), lateLinearPaths: encoder.blocks.last?.lateLinears.map(\.path) ?? [],
      head: head,
      architecture: isRoBERTa ? "RobertaForSequenceClassification" : "BertForSequenceClassification",
      positionCount: config.positionCount - config.firstPosition, wordEmbedding: encoder.tokens,
      defaultLoRATargets: ["query", "value"], defaultIA3Targets: ["key", "value", "output.dense"],
      defaultIA3FeedForward: ["output.dense"], layersPattern: ["layer"], padID: config.padID, eosIDs: [])
  }

  // MARK: Forward

  public func losses(
    logits: Variable, labels: [[Int32]], _ pass: ForwardPass, gradientScale: Float
  ) -> [Double] {
    let labels = labels.flatMap(\.self)
    func values() -> [Float] { labels.map { Float(bitPattern: UInt32(bitPattern: $0)) } }
    return switch configuration.problem {
    case .singleLabel: pass.tape.crossEntropy(logits, labels: labels, gradientScale: gradientScale)
    case .regression: pass.tape.squaredError(logits, targets: values(), gradientScale: gradientScale)
    case .multiLabel: pass.tape.binaryCrossEntropy(logits, targets: values(), gradientScale: gradientScale)
    }
  }

  /// Scores `[examples, C]`. The head reads the first position, whatever stands there: with a soft prompt its first token.
  public func logits(_ batch: LeafBatch, _ pass: ForwardPass) -> Variable {
    let (first, row) = encoder.states(batch, pass) { $0.firsts }
    // RoBERTa's head drops in front of its dense layer as well.
    let pooled = configuration.family == .roberta ? pass.tape.dropout(first, pass.dropoutMask(row, at: .head)) : first
    let activated = pass.tape.activation(ACTIVATION_TANH, dense(pooled, row, pass))
    return scores(pass.tape.dropout(activated, pass.dropoutMask(row, at: .head)), row, pass)
  }
}

/// The layers of a head, from the checkpoint or from random values: normal weights, biases zero (HF `_init_weights`).
private final class FreshHead {
  private let deviation: Double
  private let seed: UInt64
  private var madeCount: UInt32 = 0
  var madeAny: Bool { madeCount > 0 }

  init(deviation: Double, seed: UInt64) {
    self.deviation = deviation
    self.seed = seed
  }

  /// - Parameter replacesOtherSize: whether a projection of another size counts as missing.
  func linear(
    _ name: String, inputs: Int, outputs: Int, _ scope: WeightScope, replacesOtherSize: Bool = false
  ) -> Linear {
    let shape = scope.shape("\(name).weight")
    let isReplaced = replacesOtherSize && shape.map { $0 != [outputs, inputs] } ?? false
    if isReplaced { for part in ["weight", "bias"] { scope.ignore("\(name).\(part)") } }
    guard shape == nil || isReplaced else {
      let found = scope.linear(name, inputs: inputs, outputs: outputs)
      return Linear(path: found.path, weight: found.weight, bias: found.bias, keepsFP32: true)
    }
    madeCount += 1
    let generator = CounterGenerator(seed: seed, purpose: .initialization, site: 1 << 24 + madeCount)
    let weight = Initialization.normal([outputs, inputs], deviation: deviation, generator)
    let path = scope.name(name)
    return Linear(
      path: path, weight: Parameter("\(path).weight", weight),
      bias: Parameter("\(path).bias", Tensor(zeros: [outputs])), keepsFP32: true)
  }
}
