import Autograd
import CKernels
import Checkpoints
import Foundation
import NN
import TensorCore

// BERT (Devlin et al. 2019) and RoBERTa (Liu et al. 2019): bidirectional encoders with a head for sequence classification.
// Follows HF transformers `models/bert/modeling_bert.py` and `models/roberta/modeling_roberta.py`. The two differ in the
// first position, in token types and in the head. Differences to both: sequences are packed end to end instead of padded,
// and behind its keys and values the last layer goes on with the first position only, the one the head reads.
// Shapes: n tokens of a leaf, D hidden size, H heads, K head width, F feed-forward, V vocabulary, C labels.

/// One block: `y = norm(x + drop(dense(attend(x))))`, then the same around the feed-forward of y.
struct BERTBlock: Sendable {
  let layer: Int
  let query: Linear
  let key: Linear
  let value: Linear
  let attentionOutput: Linear
  let attentionNorm: Norm
  let wide: Linear
  let narrow: Linear
  let outputNorm: Norm
  /// Sub-layers, as the library `adapters` names them.
  let attentionPath: String
  let outputPath: String

  init(_ scope: WeightScope, layer: Int, _ config: BERTConfiguration) {
    self.layer = layer
    let (hidden, inner) = (config.hiddenSize, config.feedForwardSize)
    let attention = scope.scope("attention")
    query = attention.linear("self.query", inputs: hidden, outputs: hidden)
    key = attention.linear("self.key", inputs: hidden, outputs: hidden)
    value = attention.linear("self.value", inputs: hidden, outputs: hidden)
    attentionOutput = attention.linear("output.dense", inputs: hidden, outputs: hidden)
    attentionNorm = attention.norm("output.LayerNorm", hidden)
    wide = scope.linear("intermediate.dense", inputs: hidden, outputs: inner)
    narrow = scope.linear("output.dense", inputs: inner, outputs: hidden)
    outputNorm = scope.norm("output.LayerNorm", hidden)
    attentionPath = attention.name("output")
    outputPath = scope.name("output")
  }

  var linears: [Linear] { [query, key, value, attentionOutput, wide, narrow] }
  /// Those that keys and values do not need.
  var lateLinears: [Linear] { [query, attentionOutput, wide, narrow] }
  var parameters: [Parameter] {
    [query, key, value, attentionOutput].flatMap(\.parameters) + attentionNorm.parameters
      + [wide, narrow].flatMap(\.parameters) + outputNorm.parameters
  }
}

public final class BERT: ClassifierModel {
  public let configuration: BERTConfiguration
  public let description: ModelDescription
  public let parameters: [Parameter]
  private let tokens: Parameter
  private let positions: Parameter
  private let types: Parameter
  private let embeddingNorm: Norm
  private let blocks: [BERTBlock]
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
    let weights = folder.weights { Self.currentName($0, prefix: prefix) }
    let scope = weights.scope(prefix)
    let (hidden, labelCount) = (config.hiddenSize, config.labels.count)
    tokens = scope.parameter("embeddings.word_embeddings.weight", [config.vocabularySize, hidden])
    positions = scope.parameter("embeddings.position_embeddings.weight", [config.positionCount, hidden])
    types = scope.parameter("embeddings.token_type_embeddings.weight", [config.typeCount, hidden])
    embeddingNorm = scope.norm("embeddings.LayerNorm", hidden)
    blocks = (0..<config.layerCount).map { BERTBlock(scope.scope("encoder.layer.\($0)"), layer: $0, config) }

    let fresh = FreshHead(deviation: config.initializerRange, seed: request.seed)
    let isRoBERTa = family == .roberta
    let denseScope = isRoBERTa ? weights.scope("classifier") : scope.scope("pooler")
    dense = fresh.linear("dense", inputs: hidden, outputs: hidden, denseScope)
    scores = fresh.linear(
      isRoBERTa ? "out_proj" : "classifier", inputs: hidden, outputs: labelCount,
      isRoBERTa ? denseScope : weights.scope())
    try weights.finish(tolerated: [
      "lm_head.*", "cls.*", "\(prefix).pooler.*", "*.embeddings.position_ids", "*.embeddings.token_type_ids",
    ])
    let headLinears = isRoBERTa ? [dense, scores] : [scores]
    let head = ClassifierHead(
      module: "classifier", parameters: headLinears.flatMap(\.parameters), problem: config.problem,
      labels: config.labels, isFresh: fresh.madeAny)
    let linears = blocks.flatMap(\.linears) + [dense, scores]
    parameters =
      [tokens, positions, types] + embeddingNorm.parameters + blocks.flatMap(\.parameters) + dense.parameters
      + scores.parameters
    description = ModelDescription(
      modelType: family.rawValue, hiddenSize: hidden, vocabularySize: config.vocabularySize,
      layerCount: config.layerCount, decoderLayerCount: 0, headCount: config.headCount, headWidth: config.headWidth,
      dropoutRate: config.dropoutRate, kind: .classifier, linears: linears,
      sublayers: blocks.flatMap {
        [Sublayer(path: $0.attentionPath, kind: .selfAttention), Sublayer(path: $0.outputPath, kind: .feedForward)]
      },
      outputHeadPaths: headLinears.map(\.path), lateLinearPaths: blocks.last?.lateLinears.map(\.path) ?? [], head: head,
      architecture: isRoBERTa ? "RobertaForSequenceClassification" : "BertForSequenceClassification",
      positionCount: config.positionCount - config.firstPosition, wordEmbedding: tokens,
      defaultLoRATargets: ["query", "value"], defaultIA3Targets: ["key", "value", "output.dense"],
      defaultIA3FeedForward: ["output.dense"], layersPattern: ["layer"], padID: config.padID, eosIDs: [])
  }

  /// The name under which today's checkpoints of the family hold a tensor.
  private static func currentName(_ name: String, prefix: String) -> String {
    let own = ["\(prefix).", "classifier.", "lm_head.", "cls."].contains(where: name.hasPrefix)
    // Norms of the first BERT checkpoints.
    return (own ? name : "\(prefix).\(name)").replacing("LayerNorm.gamma", with: "LayerNorm.weight")
      .replacing("LayerNorm.beta", with: "LayerNorm.bias")
  }

  // MARK: Forward

  public func lossSum(
    logits: Variable, labels: [[Int32]], _ pass: ForwardPass, gradientScale: Float
  ) -> Double {
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
    let (first, row) = read(batch, pass)
    // RoBERTa's head drops in front of its dense layer as well.
    let pooled = configuration.family == .roberta ? pass.tape.dropout(first, pass.dropoutMask(row)) : first
    let activated = pass.tape.activation(ACTIVATION_TANH, dense(pooled, row, pass))
    return scores(pass.tape.dropout(activated, pass.dropoutMask(row)), row, pass)
  }

  /// The last states of the first position of each sequence `[examples, D]`.
  private func read(_ batch: LeafBatch, _ pass: ForwardPass) -> (Variable, PackedLayout) {
    let tape = pass.tape
    let tokenLayout = PackedLayout(
      lengths: batch.sources.map(\.count), examples: batch.examples, secondStarts: batch.secondStarts)
    let embedded = tape.embedding(pass.variable(tokens), ids: batch.sources.flatMap(\.self))
    let (x, layout) = pass.seams.inputEmbeddings(.encoder, embedded, tokenLayout, pass) ?? (embedded, tokenLayout)
    let prefix = pass.seams.keyValuePrefix(layer: 0, .encoderSelf, pass)?.keys.value.rows ?? 0
    let start = configuration.firstPosition + prefix
    let places = layout.lengths.flatMap { length in (start..<start + length).map { Int32($0) } }
    var sum = tape.residual(x, adding: tape.embedding(pass.variable(types), ids: typeIDs(layout)))
    sum = tape.residual(sum, adding: tape.embedding(pass.variable(positions), ids: places))
    var states = tape.dropout(norm(sum, embeddingNorm, pass), pass.dropoutMask(layout))
    let firsts = layout.firsts
    for block in blocks {
      let selection = block.layer == blocks.count - 1 ? firsts : nil
      states = attend(block, states, layout, pass, only: selection)
      let layout = selection?.layout ?? layout
      let wide = tape.activation(configuration.activation, block.wide(states, layout, pass))
      states = pass.add(block.narrow(wide, layout, pass), to: states, path: block.outputPath, layout) { [self] in
        norm($0, block.outputNorm, pass)
      }
    }
    return (states, firsts.layout)
  }

  /// 1 from the second text of a pair on, where the family tells the two apart.
  private func typeIDs(_ layout: PackedLayout) -> [Int32] {
    zip(layout.lengths, layout.secondStarts ?? layout.lengths).flatMap { length, second in
      let first = configuration.typeCount > 1 ? min(second, length) : length
      return [Int32](repeating: 0, count: first) + [Int32](repeating: 1, count: length - first)
    }
  }

  /// - Parameter selection: the rows that go on; nil for all.
  private func attend(
    _ block: BERTBlock, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass, only selection: RowSelection?
  ) -> Variable {
    let tape = pass.tape
    let residual = selection.map { tape.embedding(x, ids: $0.rows) } ?? x
    let queries = selection?.layout ?? layout
    let q = block.query(residual, queries, pass)
    var (k, v, keys) = (block.key(x, layout, pass), block.value(x, layout, pass), layout)
    if let prefix = pass.seams.keyValuePrefix(layer: block.layer, .encoderSelf, pass) {
      k = tape.prepend(prefix.keys, to: k, layout: keys)
      v = tape.prepend(prefix.values, to: v, layout: keys)
      keys = keys.lengthened(by: prefix.keys.value.rows)
    }
    let form = AttentionForm(
      heads: configuration.headCount, headWidth: configuration.headWidth,
      scale: Float(1 / Double(configuration.headWidth).squareRoot()), causal: false, dropout: pass.attentionDropout(),
      operands: tape.precision == .bf16 ? OPERAND_BF16 : OPERAND_FP32)
    let context = tape.attention(q: q, k: k, v: v, queries: queries, keys: keys, form: form)
    let output = block.attentionOutput(context, queries, pass)
    return pass.add(output, to: residual, path: block.attentionPath, queries) { [self] in
      norm($0, block.attentionNorm, pass)
    }
  }

  private func norm(_ x: Variable, _ norm: Norm, _ pass: ForwardPass) -> Variable {
    norm(x, epsilon: configuration.normEpsilon, pass)
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

  func linear(_ name: String, inputs: Int, outputs: Int, _ scope: WeightScope) -> Linear {
    guard !scope.contains("\(name).weight") else {
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
