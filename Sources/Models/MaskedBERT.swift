import Autograd
import CKernels
import Checkpoints
import Foundation
import NN
import TensorCore

/// BERT or RoBERTa with the head that names masked tokens (HF `BertForMaskedLM`, `RobertaForMaskedLM`):
/// `scores = norm(activation(dense(h))) Eᵀ + b` with the word embeddings E, for the rows that are targets.
///
/// The activation is `hidden_act` of BERT, GELU of RoBERTa.
public final class MaskedBERT: LanguageModel {
  public let configuration: BERTConfiguration
  public let description: ModelDescription
  public let parameters: [Parameter]
  private let encoder: BERTEncoder
  private let dense: Linear
  private let headNorm: Norm
  private let scores: Linear

  /// Builds the model over the weights of `folder`.
  ///
  /// - Throws: `CheckpointError`, all in one message for weights that are missing, such as those of this head.
  public init(_ folder: ModelFolder) throws {
    try folder.requireModelType("bert", "roberta")
    let family = BERTConfiguration.Family(rawValue: folder.modelType ?? "") ?? .bert
    let config = try BERTConfiguration(folder.config, family: family, request: HeadRequest())
    configuration = config
    guard try folder.config.optionalBool("tie_word_embeddings") != false else {
      throw folder.config.error("tie_word_embeddings", expected: "true: the head shares the embedding")
    }
    let prefix = family.rawValue
    let weights = folder.weights { BERTEncoder.currentName($0, prefix: prefix) }
    encoder = BERTEncoder(weights.scope(prefix), config)
    let hidden = config.hiddenSize
    let isRoBERTa = family == .roberta
    let head = weights.scope(isRoBERTa ? "lm_head" : "cls.predictions")
    let transform = isRoBERTa ? head : head.scope("transform")
    dense = transform.linear("dense", inputs: hidden, outputs: hidden)
    headNorm = transform.norm(isRoBERTa ? "layer_norm" : "LayerNorm", hidden)
    // The projection to the vocabulary is the embedding, and its bias that of the head, unless the checkpoint has others.
    let (weightName, biasName) = (head.name("decoder.weight"), head.name("decoder.bias"))
    let words = encoder.tokens
    let ownWeight = head.optionalTensor("decoder.weight", [config.vocabularySize, hidden])
      .flatMap { $0.hasSameBytes(as: words.value) ? nil : Parameter(weightName, $0) }
    let biases = weights.tied(head.name("bias"), [biasName], [config.vocabularySize])
    let bias = biases.own[biasName].map { Parameter(biasName, $0) } ?? Parameter(head.name("bias"), biases.shared)
    scores = Linear(path: head.name("decoder"), weight: ownWeight ?? encoder.tokens, bias: bias, keepsFP32: true)
    try weights.finish(tolerated: [
      "classifier.*", "cls.seq_relationship.*", "\(prefix).pooler.*",
      "*.embeddings.position_ids", "*.embeddings.token_type_ids",
    ])
    parameters =
      encoder.parameters + dense.parameters + headNorm.parameters + [bias]
      + (ownWeight.map { [$0] } ?? [])
    description = ModelDescription(
      modelType: family.rawValue, hiddenSize: hidden, vocabularySize: config.vocabularySize,
      layerCount: config.layerCount, decoderLayerCount: 0, headCount: config.headCount, headWidth: config.headWidth,
      dropoutRates: config.dropoutRates, kind: .maskedTokens, linears: encoder.linears + [dense, scores],
      sublayers: encoder.sublayers, outputHeadPaths: [dense.path, scores.path],
      lateLinearPaths: encoder.blocks.last?.lateLinears.map(\.path) ?? [],
      architecture: isRoBERTa ? "RobertaForMaskedLM" : "BertForMaskedLM",
      positionCount: config.positionCount - config.firstPosition, wordEmbedding: encoder.tokens,
      defaultLoRATargets: ["query", "value"], defaultIA3Targets: ["key", "value", "output.dense"],
      defaultIA3FeedForward: ["output.dense"], layersPattern: ["layer"], padID: config.padID, eosIDs: [])
  }

  public func losses(_ batch: LeafBatch, _ pass: ForwardPass, gradientScale: Float) -> [Double] {
    let targets = batch.labels.map { $0.filter { $0 != ignoredLabel } }
    guard targets.contains(where: { !$0.isEmpty }) else { return targets.map { _ in 0 } }
    let logits = logits(batch, pass) { label in label != ignoredLabel }
    return pass.tape.crossEntropy(logits, labels: targets.flatMap(\.self), gradientScale: gradientScale)
      .sums(of: targets.map(\.count))
  }

  /// Scores `[n, V]` of every position, masked or not.
  public func logits(_ batch: LeafBatch, _ pass: ForwardPass) -> Variable { logits(batch, pass) { _ in true } }

  /// Scores of the positions whose label is `wanted`; virtual tokens in front have none.
  private func logits(_ batch: LeafBatch, _ pass: ForwardPass, wanted: @escaping (Int32) -> Bool) -> Variable {
    let (states, layout) = encoder.states(batch, pass) { layout in
      layout.positions(
        zip(layout.lengths, batch.labels).map { length, labels in
          labels.indices.filter { wanted(labels[$0]) }.map { length - labels.count + $0 }
        })
    }
    let activation = configuration.family == .roberta ? ACTIVATION_GELU : configuration.activation
    let activated = pass.tape.activation(activation, dense(states, layout, pass))
    return scores(headNorm(activated, epsilon: configuration.normEpsilon, pass), layout, pass)
  }
}
