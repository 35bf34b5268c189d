import Autograd
import CKernels
import Checkpoints
import NN
import TensorCore

// BERT (Devlin et al. 2019) and RoBERTa (Liu et al. 2019): bidirectional encoders.
// Follows HF transformers `models/bert/modeling_bert.py` and `models/roberta/modeling_roberta.py`. The two differ in the
// first position, in token types and in their heads. Differences to both: sequences are packed end to end instead of padded,
// and behind its keys and values the last layer goes on with those rows only that a head reads.
// Shapes: n tokens of a leaf, D hidden size, H heads, K head width, F feed-forward, V vocabulary.

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

/// Embeddings and blocks, without a head.
struct BERTEncoder: Sendable {
  let configuration: BERTConfiguration
  let tokens: Parameter
  private let positions: Parameter
  private let types: Parameter
  private let embeddingNorm: Norm
  let blocks: [BERTBlock]

  init(_ scope: WeightScope, _ config: BERTConfiguration) {
    configuration = config
    let hidden = config.hiddenSize
    tokens = scope.parameter("embeddings.word_embeddings.weight", [config.vocabularySize, hidden])
    positions = scope.parameter("embeddings.position_embeddings.weight", [config.positionCount, hidden])
    types = scope.parameter("embeddings.token_type_embeddings.weight", [config.typeCount, hidden])
    embeddingNorm = scope.norm("embeddings.LayerNorm", hidden)
    blocks = (0..<config.layerCount).map { BERTBlock(scope.scope("encoder.layer.\($0)"), layer: $0, config) }
  }

  var linears: [Linear] { blocks.flatMap(\.linears) }
  var parameters: [Parameter] {
    [tokens, positions, types] + embeddingNorm.parameters + blocks.flatMap(\.parameters)
  }
  var sublayers: [Sublayer] {
    blocks.flatMap {
      [Sublayer(path: $0.attentionPath, kind: .selfAttention), Sublayer(path: $0.outputPath, kind: .feedForward)]
    }
  }

  /// The name under which today's checkpoints of the family hold a tensor.
  static func currentName(_ name: String, prefix: String) -> String {
    let own = ["\(prefix).", "classifier.", "lm_head.", "cls."].contains(where: name.hasPrefix)
    // Norms of the first BERT checkpoints.
    return (own ? name : "\(prefix).\(name)").replacing("LayerNorm.gamma", with: "LayerNorm.weight")
      .replacing("LayerNorm.beta", with: "LayerNorm.bias")
  }

  /// The last states `[rows, D]` of the rows that a head reads, and how they lie.
  ///
  /// - Parameter select: picks them from the sequences, virtual tokens included.
  func states(
    _ batch: LeafBatch, _ pass: ForwardPass, select: (PackedLayout) -> RowSelection
  ) -> (Variable, PackedLayout) {
    let tape = pass.tape
    let tokenLayout = PackedLayout(
      lengths: batch.sources.map(\.count), examples: batch.examples, secondStarts: batch.secondStarts)
    let embedded = tape.embedding(pass.variable(tokens), ids: batch.sources.flatMap(\.self))
    let extended = pass.seams.inputEmbeddings(.encoder, embedded, tokenLayout, pass)
    let (x, layout) = extended ?? (embedded, tokenLayout)
    let prefix = pass.seams.keyValuePrefix(layer: 0, .encoderSelf, pass)?.keys.value.rows ?? 0
    let start = configuration.firstPosition + prefix
    let places =
      extended == nil
      ? batch.sources.flatMap { positions(of: $0, from: start) }
      : layout.lengths.flatMap { length in (start..<start + length).map { Int32($0) } }
    var sum = tape.residual(x, adding: tape.embedding(pass.variable(types), ids: typeIDs(layout)))
    sum = tape.residual(sum, adding: tape.embedding(pass.variable(positions), ids: places))
    var states = tape.dropout(norm(sum, embeddingNorm, pass), pass.dropoutMask(layout, at: .embedding))
    let selected = select(layout)
    for block in blocks {
      let selection = block.layer == blocks.count - 1 ? selected : nil
      states = attend(block, states, layout, pass, only: selection)
      let layout = selection?.layout ?? layout
      let wide = tape.activation(configuration.activation, block.wide(states, layout, pass))
      states = pass.add(block.narrow(wide, layout, pass), to: states, path: block.outputPath, layout) {
        norm($0, block.outputNorm, pass)
      }
    }
    return (states, selected.layout)
  }

  /// One after the other; in RoBERTa a padding token that a text spells out has the position of padding and is not counted
  /// (HF `create_position_ids_from_input_ids`).
  private func positions(of ids: [Int32], from start: Int) -> [Int32] {
    var next = Int32(start)
    return ids.map { id in
      if configuration.family == .roberta && id == configuration.padID { return configuration.padID }
      next += 1
      return next - 1
    }
  }

  /// 1 from the second text of a pair on in BERT; RoBERTa's tokenizer gives 0 everywhere, whatever types the table has.
  private func typeIDs(_ layout: PackedLayout) -> [Int32] {
    zip(layout.lengths, layout.secondStarts ?? layout.lengths).flatMap { length, second in
      let first = configuration.family == .bert && configuration.typeCount > 1 ? min(second, length) : length
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
    return pass.add(output, to: residual, path: block.attentionPath, queries) {
      norm($0, block.attentionNorm, pass)
    }
  }

  private func norm(_ x: Variable, _ norm: Norm, _ pass: ForwardPass) -> Variable {
    norm(x, epsilon: configuration.normEpsilon, pass)
  }
}
