import Autograd
import CKernels
import Checkpoints
import Foundation
import NN
import TensorCore

// GPT-2, a causal decoder (Radford et al. 2019, "Language models are unsupervised multitask learners").
// Follows HF transformers `models/gpt2/modeling_gpt2.py`. Differences: sequences are packed end to end instead of padded;
// queries, keys and values are cut out of one projection without a copy of the rest; logits exist where a target is, and
// the last block goes on behind its keys and values with the rows that logits are made of.
// Shapes: n tokens of a leaf, D hidden size, H heads, K head width, F feed-forward, V vocabulary.

/// One block: `x + drop(c_proj(attend(c_attn(ln_1(x)))))`, then the same around `c_proj(act(c_fc(ln_2(x))))`.
struct GPT2Block: Sendable {
  let layer: Int
  let norm1: Norm
  /// `[D, 3 D]`: queries, keys and values side by side.
  let attention: Linear
  let attentionOutput: Linear
  let norm2: Norm
  let wide: Linear
  let narrow: Linear
  /// Where the library `adapters` hangs its modules.
  let attentionPath: String
  let feedForwardPath: String

  init(_ scope: WeightScope, layer: Int, _ config: GPT2Configuration) {
    self.layer = layer
    let (hidden, inner) = (config.hiddenSize, config.feedForwardSize)
    norm1 = scope.norm("ln_1", hidden)
    attention = scope.conv1D("attn.c_attn", inputs: hidden, outputs: 3 * hidden)
    attentionOutput = scope.conv1D("attn.c_proj", inputs: hidden, outputs: hidden)
    norm2 = scope.norm("ln_2", hidden)
    wide = scope.conv1D("mlp.c_fc", inputs: hidden, outputs: inner)
    narrow = scope.conv1D("mlp.c_proj", inputs: inner, outputs: hidden)
    attentionPath = scope.name("attention_adapters")
    feedForwardPath = scope.name("output_adapters")
  }

  var linears: [Linear] { [attention] + lateLinears }
  /// Those behind the attention.
  var lateLinears: [Linear] { [attentionOutput, wide, narrow] }
  var parameters: [Parameter] {
    norm1.parameters + [attention, attentionOutput].flatMap(\.parameters) + norm2.parameters
      + [wide, narrow].flatMap(\.parameters)
  }
}

public final class GPT2: GenerativeModel {
  public let configuration: GPT2Configuration
  public let description: ModelDescription
  public let parameters: [Parameter]
  /// `[V, D]`, the output head too unless `tie_word_embeddings` is false.
  let tokens: Parameter
  /// `[positions, D]`
  let positions: Parameter
  let blocks: [GPT2Block]
  let finalNorm: Norm
  let head: Linear

  /// Builds the model over the weights of `folder`, whose names may lack the prefix `transformer.` as the hub's files do.
  ///
  /// Throws: `CheckpointError` for a folder of another architecture, a bad configuration, and, all in one message, the
  /// weights that are missing, misshapen or left over.
  public init(_ folder: ModelFolder) throws {
    try folder.requireModelType("gpt2")
    let config = try GPT2Configuration(folder.config, generation: folder.generationConfig)
    configuration = config
    let weights = folder.weights { $0.hasPrefix("transformer.") || $0.hasPrefix("lm_head.") ? $0 : "transformer.\($0)" }
    let scope = weights.scope("transformer")
    let table = [config.vocabularySize, config.hiddenSize]
    let tied = config.isTied ? weights.tied("transformer.wte.weight", ["lm_head.weight"], table) : nil
    tokens = tied.map { Parameter("transformer.wte.weight", $0.shared) } ?? scope.parameter("wte.weight", table)
    positions = scope.parameter("wpe.weight", [config.positionCount, config.hiddenSize])
    blocks = (0..<config.layerCount).map { GPT2Block(scope.scope("h.\($0)"), layer: $0, config) }
    finalNorm = scope.norm("ln_f", config.hiddenSize)
    let own = tied.map { $0.own["lm_head.weight"].map { Parameter("lm_head.weight", $0) } }
    let weight = own ?? weights.scope().parameter("lm_head.weight", table)
    head = Linear(path: "lm_head", weight: weight ?? tokens, keepsFP32: true)
    // Buffers of older files.
    try weights.finish(tolerated: ["*.attn.bias", "*.attn.masked_bias"])
    parameters =
      [tokens, positions] + blocks.flatMap(\.parameters) + finalNorm.parameters
      + (weight.map { [$0] } ?? [])
    description = ModelDescription(
      modelType: "gpt2", hiddenSize: config.hiddenSize, vocabularySize: config.vocabularySize,
      layerCount: config.layerCount, decoderLayerCount: config.layerCount, headCount: config.headCount,
      headWidth: config.headWidth, dropoutRates: config.dropoutRates, kind: .decoder,
      linears: blocks.flatMap(\.linears) + [head],
      sublayers: blocks.flatMap {
        [
          Sublayer(path: $0.attentionPath, kind: .selfAttention),
          Sublayer(path: $0.feedForwardPath, kind: .feedForward),
        ]
      },
      outputHeadPaths: ["lm_head"], lateLinearPaths: blocks.last?.lateLinears.map(\.path) ?? [],
      architecture: "GPT2LMHeadModel", positionCount: config.positionCount,
      wordEmbedding: tokens, defaultLoRATargets: ["c_attn"], defaultIA3Targets: ["c_attn", "mlp.c_proj"],
      defaultIA3FeedForward: ["mlp.c_proj"], layersPattern: ["h"], padID: config.padID, eosIDs: config.eosIDs)
  }

  // MARK: Forward

  public func losses(_ batch: LeafBatch, _ pass: ForwardPass, gradientScale: Float) -> [Double] {
    let run = run(batch, pass, .targets)
    return losses(run.states, rows: run.targetRows, labels: batch.labels, pass, gradientScale)
  }

  /// The losses of labels, by example, that the given rows of states predict; a row of nil is no target.
  func losses(
    _ states: Variable, rows: [Int32?], labels: [[Int32]], _ pass: ForwardPass, _ gradientScale: Float
  ) -> [Double] {
    var next = 0
    let targets = labels.map { labels in
      defer { next += labels.count }
      return zip(rows[next...], labels).compactMap { row, label in
        row.flatMap { label == ignoredLabel ? nil : ($0, label) }
      }
    }
    return tokenLosses(states, targets.flatMap(\.self), pass, gradientScale).sums(of: targets.map(\.count))
  }

  private func tokenLosses(
    _ states: Variable, _ targets: [(Int32, Int32)], _ pass: ForwardPass, _ gradientScale: Float
  ) -> [Double] {
    guard !targets.isEmpty else { return [] }
    let h = norm(pass.tape.embedding(states, ids: targets.map(\.0)), finalNorm, pass)
    let labels = targets.map(\.1)
    let layout = PackedLayout(lengths: [labels.count], examples: [0])
    if let logits = pass.seams.linear(head, h, layout, pass) {
      return pass.tape.crossEntropy(logits, labels: labels, gradientScale: gradientScale)
    }
    return pass.tape.linearCrossEntropy(
      h, head: pass.variable(head.weight), frozen: pass.frozen(head.weight), labels: labels,
      gradientScale: gradientScale)
  }

  /// Logits of the rows that predict the labels. A first label that no token stands before has a row of zeros.
  public func logits(_ batch: LeafBatch, _ pass: ForwardPass) -> Variable {
    let run = run(batch, pass, .labels)
    let all = logits(run.states, run.layout, pass).value
    let picked = pass.tape.embedding(Variable(constant: all), ids: run.targetRows.map { $0 ?? 0 })
    for (row, source) in run.targetRows.enumerated() where source == nil { picked.value.rows(row..<row + 1).fill(0) }
    return picked
  }

  /// Logits of every position `[n, V]`, virtual tokens included, for the tokens of sources and labels.
  public func logitsOfAllPositions(_ batch: LeafBatch, _ pass: ForwardPass) -> Variable {
    let run = run(batch, pass, .tokens)
    return logits(run.states, run.layout, pass)
  }

  func logits(_ states: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable {
    head(norm(states, finalNorm, pass), layout, pass)
  }

  /// What a run is for.
  private enum Purpose {
    /// The states of all tokens, the last label among them, which predicts nothing.
    case tokens
    /// Those before it.
    case labels
    /// Those from the first on that predicts a target.
    case targets
  }

  /// The states before the last norm, and the row that predicts each label: that of the token before it.
  private struct Run {
    let states: Variable
    let layout: PackedLayout
    let targetRows: [Int32?]
  }

  private func run(_ batch: LeafBatch, _ pass: ForwardPass, _ purpose: Purpose) -> Run {
    let unread = purpose == .tokens ? 0 : 1
    let inputs = zip(batch.sources, batch.labels).map { source, labels in
      source + labels.dropLast(unread).map { $0 == ignoredLabel ? configuration.padID : $0 }
    }
    let counts = batch.labels.map { $0.count - ($0.firstIndex { $0 != ignoredLabel } ?? $0.count) }
    let (states, layout) = read(inputs, examples: batch.examples, tails: purpose == .targets ? counts : nil, pass)
    var rows: [Int32?] = []
    for (index, labels) in batch.labels.enumerated() {
      let start = layout.starts[index]
      let first = start + layout.lengths[index] - labels.count - 1 + unread
      rows += labels.indices.map { first + $0 >= start ? Int32(first + $0) : nil }
    }
    return Run(states: states, layout: layout, targetRows: rows)
  }

  /// The states of whole sequences from the first position on, and how they lie.
  ///
  /// - Parameters:
  ///   - tails: how many rows at the end of each sequence are wanted; nil for all.
  ///   - onKeysAndValues: is given those of each layer, the method's prefix not among them.
  func read(
    _ inputs: [[Int32]], examples: [UInt32], tails: [Int]? = nil, _ pass: ForwardPass,
    onKeysAndValues: ((_ layer: Int, _ k: Tensor, _ v: Tensor, PackedLayout) -> Void)? = nil
  ) -> (Variable, PackedLayout) {
    let tokenLayout = PackedLayout(lengths: inputs.map(\.count), examples: examples)
    let embedded = pass.tape.embedding(pass.variable(tokens), ids: inputs.flatMap(\.self))
    let (x, layout) = pass.seams.inputEmbeddings(.decoder, embedded, tokenLayout, pass) ?? (embedded, tokenLayout)
    let first = prefixLength(pass)
    let places = layout.lengths.flatMap { length in (first..<first + length).map { Int32($0) } }
    var states = pass.tape.residual(x, adding: pass.tape.embedding(pass.variable(positions), ids: places))
    states = pass.tape.dropout(states, pass.dropoutMask(layout, at: .embedding))
    let wanted = tails.map { layout.tails(zip($0, layout.lengths).map { min($0, $1) }) }
    for block in blocks {
      let selection = block.layer == blocks.count - 1 ? wanted : nil
      let queries = selection?.layout ?? layout
      states = attend(block, states, layout, pass, only: selection) { q, k, v in
        onKeysAndValues?(block.layer, k.value, v.value, layout)
        var (k, v, keys) = (k, v, layout)
        if let prefix = pass.seams.keyValuePrefix(layer: block.layer, .decoderSelf, pass) {
          k = pass.tape.prepend(prefix.keys, to: k, layout: keys)
          v = pass.tape.prepend(prefix.values, to: v, layout: keys)
          keys = keys.lengthened(by: prefix.keys.value.rows)
        }
        return pass.tape.attention(
          q: q, k: k, v: v, queries: queries, keys: keys, form: form(layer: block.layer, causal: true, pass))
      }
      states = feedForward(block, states, queries, pass)
    }
    return (states, wanted?.layout ?? layout)
  }

  /// Rows of the method's prefix: the position at which tokens begin.
  func prefixLength(_ pass: ForwardPass) -> Int {
    pass.seams.keyValuePrefix(layer: 0, .decoderSelf, pass)?.keys.value.rows ?? 0
  }

  func form(layer: Int, causal: Bool, _ pass: ForwardPass) -> AttentionForm {
    AttentionForm(
      heads: configuration.headCount, headWidth: configuration.headWidth,
      scale: configuration.scoreScale(layer: layer), causal: causal, dropout: pass.attentionDropout(),
      operands: pass.tape.precision == .bf16 ? OPERAND_BF16 : OPERAND_FP32)
  }

  /// The attention of a block around its residual; `context` gets queries, keys and values.
  ///
  /// - Parameter selection: the rows that go on; nil for all.
  func attend(
    _ block: GPT2Block, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass, only selection: RowSelection? = nil,
    _ context: (_ q: Variable, _ k: Variable, _ v: Variable) -> Variable
  ) -> Variable {
    let parts = pass.tape.split(block.attention(norm(x, block.norm1, pass), layout, pass), into: 3)
    func selected(_ x: Variable) -> Variable { selection.map { pass.tape.embedding(x, ids: $0.rows) } ?? x }
    let layout = selection?.layout ?? layout
    let output = block.attentionOutput(context(selected(parts[0]), parts[1], parts[2]), layout, pass)
    return pass.add(output, to: selected(x), path: block.attentionPath, layout)
  }

  func feedForward(_ block: GPT2Block, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable {
    let wide = pass.tape.activation(configuration.activation, block.wide(norm(x, block.norm2, pass), layout, pass))
    return pass.add(block.narrow(wide, layout, pass), to: x, path: block.feedForwardPath, layout)
  }

  func norm(_ x: Variable, _ norm: Norm, _ pass: ForwardPass) -> Variable {
    norm(x, epsilon: configuration.normEpsilon, pass)
  }
}
