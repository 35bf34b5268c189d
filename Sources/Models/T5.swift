import Autograd
import CKernels
import Checkpoints
import Foundation
import NN
import TensorCore

// T5 encoder-decoder (Raffel et al. 2020), versions 1.0 (relu, tied head) and 1.1/Flan (gated gelu, own head).
// Follows HF transformers `models/t5/modeling_t5.py`. Differences: sequences are packed end to end instead of padded, and
// the relative bias is one vector per head and stack instead of a [heads, n, n] tensor; both give the same numbers.
// Shapes: n tokens of a leaf, D hidden size, H heads, K head width, F feed-forward, V vocabulary.

/// One of the three attentions of a block, with its norm: `x + drop(o(attend(norm(x))))`.
struct T5Attention: Sendable {
  let kind: AttentionKind
  let layer: Int
  /// Path of the sub-layer, such as `encoder.block.0.layer.0`.
  let path: String
  let norm: Parameter
  let q: Linear
  let k: Linear
  let v: Linear
  let o: Linear

  init(_ scope: WeightScope, name: String, kind: AttentionKind, layer: Int, _ config: T5Configuration) {
    self.kind = kind
    self.layer = layer
    path = scope.path
    let (inner, hidden) = (config.innerSize, config.hiddenSize)
    let attention = scope.scope(name)
    q = attention.linear("q", [inner, hidden])
    k = attention.linear("k", [inner, hidden])
    v = attention.linear("v", [inner, hidden])
    o = attention.linear("o", [hidden, inner])
    norm = scope.parameter("layer_norm.weight", [hidden])
  }

  var linears: [Linear] { [q, k, v, o] }
}

/// `x + drop(wo(drop(act(wi(norm(x))))))`, gated in T5 1.1.
struct T5FeedForward: Sendable {
  let path: String
  let norm: Parameter
  /// `wi` of 1.0, `wi_0` of 1.1.
  let gate: Linear
  /// `wi_1` of 1.1.
  let up: Linear?
  let down: Linear

  init(_ scope: WeightScope, _ config: T5Configuration) {
    path = scope.path
    let (hidden, wide) = (config.hiddenSize, config.feedForwardSize)
    let dense = scope.scope("DenseReluDense")
    gate = dense.linear(config.isGated ? "wi_0" : "wi", [wide, hidden])
    up = config.isGated ? dense.linear("wi_1", [wide, hidden]) : nil
    // HF `_keep_in_fp32_modules`: its output overflows fp16 in large models.
    down = dense.linear("wo", [hidden, wide], keepsFP32: true)
    norm = scope.parameter("layer_norm.weight", [hidden])
  }

  var linears: [Linear] { [gate] + (up.map { [$0] } ?? []) + [down] }
}

struct T5Block: Sendable {
  let selfAttention: T5Attention
  let crossAttention: T5Attention?
  let feedForward: T5FeedForward
}

struct T5Stack: Sendable {
  let stack: Stack
  let blocks: [T5Block]
  /// `[buckets, H]` of block 0; serves all blocks.
  let relativeBias: Parameter
  let positions: T5RelativePosition
  let finalNorm: Parameter

  init(_ scope: WeightScope, stack: Stack, _ config: T5Configuration) {
    self.stack = stack
    let isDecoder = stack == .decoder
    blocks = (0..<(isDecoder ? config.decoderLayerCount : config.layerCount)).map { index in
      let block = scope.scope("block.\(index)")
      return T5Block(
        selfAttention: T5Attention(
          block.scope("layer.0"), name: "SelfAttention", kind: isDecoder ? .decoderSelf : .encoderSelf, layer: index,
          config),
        crossAttention: isDecoder
          ? T5Attention(block.scope("layer.1"), name: "EncDecAttention", kind: .cross, layer: index, config) : nil,
        feedForward: T5FeedForward(block.scope(isDecoder ? "layer.2" : "layer.1"), config))
    }
    relativeBias = scope.parameter(
      "block.0.layer.0.SelfAttention.relative_attention_bias.weight", [config.bucketCount, config.headCount])
    positions = T5RelativePosition(
      bucketCount: config.bucketCount, maxDistance: config.maxDistance, bidirectional: !isDecoder)
    finalNorm = scope.parameter("final_layer_norm.weight", [config.hiddenSize])
  }

  var linears: [Linear] {
    blocks.flatMap { $0.selfAttention.linears + ($0.crossAttention?.linears ?? []) + $0.feedForward.linears }
  }

  var sublayers: [Sublayer] {
    blocks.flatMap { block in
      [Sublayer(path: block.selfAttention.path, kind: .selfAttention)]
        + (block.crossAttention.map { [Sublayer(path: $0.path, kind: .crossAttention)] } ?? [])
        + [Sublayer(path: block.feedForward.path, kind: .feedForward)]
    }
  }

  var parameters: [Parameter] {
    var result: [Parameter] = []
    for (index, block) in blocks.enumerated() {
      result += block.selfAttention.linears.map(\.weight)
      if index == 0 { result.append(relativeBias) }
      result.append(block.selfAttention.norm)
      if let cross = block.crossAttention { result += cross.linears.map(\.weight) + [cross.norm] }
      result += block.feedForward.linears.map(\.weight) + [block.feedForward.norm]
    }
    return result + [finalNorm]
  }
}

public final class T5: GenerativeModel {
  public let configuration: T5Configuration
  public let description: ModelDescription
  public let parameters: [Parameter]
  /// `[V, D]`: the embedding of both stacks and the head, where the checkpoint has none of its own for them.
  let shared: Parameter
  let encoderEmbedding: Parameter
  let decoderEmbedding: Parameter
  let encoder: T5Stack
  let decoder: T5Stack
  let head: Linear

  /// Builds the model over the weights of `folder`.
  ///
  /// Throws: `CheckpointError` for a folder of another architecture, a bad configuration, and, all in one message, the
  /// weights that are missing, misshapen or left over.
  public init(_ folder: ModelFolder) throws {
    try folder.requireModelType("t5", "mt5")
    let config = try T5Configuration(folder.config, generation: folder.generationConfig)
    configuration = config
    let weights = folder.weights()
    let (encoderName, decoderName, headName) = (
      "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"
    )
    let tied = weights.tied(
      "shared.weight", [encoderName, decoderName, headName], [config.vocabularySize, config.hiddenSize])
    let shared = Parameter("shared.weight", tied.shared)
    func own(_ name: String) -> Parameter? { tied.own[name].map { Parameter(name, $0) } }
    self.shared = shared
    let (ownEncoder, ownDecoder, ownHead) = (own(encoderName), own(decoderName), own(headName))
    encoderEmbedding = ownEncoder ?? shared
    decoderEmbedding = ownDecoder ?? shared
    encoder = T5Stack(weights.scope("encoder"), stack: .encoder, config)
    decoder = T5Stack(weights.scope("decoder"), stack: .decoder, config)
    head = Linear(path: "lm_head", weight: ownHead ?? shared, keepsFP32: true)
    try weights.finish(tolerated: ["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"])
    let embeddings = [shared] + [ownEncoder, ownDecoder].compactMap(\.self)
    parameters = embeddings + encoder.parameters + decoder.parameters + [ownHead].compactMap(\.self)
    description = ModelDescription(
      modelType: "t5", hiddenSize: config.hiddenSize, vocabularySize: config.vocabularySize,
      layerCount: config.layerCount, decoderLayerCount: config.decoderLayerCount, headCount: config.headCount,
      headWidth: config.headWidth, dropoutRates: DropoutRates(config.dropoutRate), kind: .encoderDecoder,
      linears: encoder.linears + decoder.linears + [head],
      sublayers: encoder.sublayers + decoder.sublayers,
      outputHeadPaths: ["lm_head"], architecture: "T5ForConditionalGeneration", wordEmbedding: shared,
      defaultLoRATargets: ["q", "v"],
      defaultIA3Targets: ["k", "v", "wo"], defaultIA3FeedForward: ["wo"], layersPattern: ["block"],
      padID: config.padID, eosIDs: config.eosIDs)
  }

  // MARK: Forward

  public func losses(_ batch: LeafBatch, _ pass: ForwardPass, gradientScale: Float) -> [Double] {
    let (h, layout) = decode(batch, pass)
    return losses(h, layout, labels: batch.labels, pass, gradientScale: gradientScale)
  }

  func losses(
    _ h: Variable, _ layout: PackedLayout, labels: [[Int32]], _ pass: ForwardPass, gradientScale: Float
  ) -> [Double] {
    tokenLosses(h, layout, labels: labels.flatMap(\.self), pass, gradientScale: gradientScale)
      .sums(of: labels.map(\.count))
  }

  private func tokenLosses(
    _ h: Variable, _ layout: PackedLayout, labels: [Int32], _ pass: ForwardPass, gradientScale: Float
  ) -> [Double] {
    let h = pass.tape.scaled(h, by: outputScale)
    if let logits = pass.seams.linear(head, h, layout, pass) {
      return pass.tape.crossEntropy(logits, labels: labels, gradientScale: gradientScale)
    }
    return pass.tape.linearCrossEntropy(
      h, head: pass.variable(head.weight), frozen: pass.frozen(head.weight), labels: labels,
      gradientScale: gradientScale)
  }

  public func logits(_ batch: LeafBatch, _ pass: ForwardPass) -> Variable {
    let (h, layout) = decode(batch, pass)
    return logits(h, layout, pass)
  }

  func logits(_ h: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable {
    head(pass.tape.scaled(h, by: outputScale), layout, pass)
  }

  /// Factor on the hidden states before the head: `D^-0.5` where the head is the embedding (T5 1.0).
  private var outputScale: Float {
    configuration.scalesOutputs ? Float(1 / Double(configuration.hiddenSize).squareRoot()) : 1
  }

  /// The encoder's last hidden states `[n, D]` and their layout, virtual tokens included.
  func encode(_ batch: SourceBatch, _ pass: ForwardPass) -> (Variable, PackedLayout) {
    let layout = PackedLayout(
      lengths: batch.sources.map(\.count), examples: batch.examples, secondStarts: batch.secondStarts)
    if let frozen = pass.frozen {
      let states = Variable(constant: frozen.states)
      return (stages(frozen.depth..<encoder.stageCount, of: encoder, states, layout, pass), layout)
    }
    return run(encoder, ids: batch.sources.flatMap { $0 }, layout, pass, memory: nil)
  }

  /// The decoder's last hidden states for the labels shifted right, `[sum of label lengths, D]`.
  private func decode(_ batch: LeafBatch, _ pass: ForwardPass) -> (Variable, PackedLayout) {
    let (states, memoryLayout) = encode(batch.read, pass)
    let counts = batch.labels.map(\.count)
    return decode(labels: batch.labels, examples: batch.examples, pass) { [self] attention in
      memory(of: attention, states: states, memoryLayout, queryCounts: counts, pass)
    }
  }

  func decode(
    labels: [[Int32]], examples: [UInt32], _ pass: ForwardPass, memory: @escaping (T5Attention) -> CrossMemory
  ) -> (Variable, PackedLayout) {
    let layout = PackedLayout(lengths: labels.map(\.count), examples: examples)
    let inputs = labels.flatMap { labels in
      [configuration.startID] + labels.dropLast().map { $0 == ignoredLabel ? configuration.padID : $0 }
    }
    return run(decoder, ids: inputs, layout, pass, memory: memory)
  }

  private func run(
    _ stack: T5Stack, ids: [Int32], _ tokens: PackedLayout, _ pass: ForwardPass,
    memory: ((T5Attention) -> CrossMemory)?
  ) -> (Variable, PackedLayout) {
    let table = stack.stack == .encoder ? encoderEmbedding : decoderEmbedding
    let embedded = pass.tape.embedding(pass.variable(table), ids: ids)
    var (x, layout) = pass.seams.inputEmbeddings(stack.stack, embedded, tokens, pass) ?? (embedded, tokens)
    x = pass.tape.dropout(x, pass.dropoutMask(layout))
    return (stages(0..<stack.stageCount, of: stack, x, layout, pass, memory: memory), layout)
  }

  /// Some stages of a stack: block by block, and as the last one the final norm.
  func stages(
    _ range: Range<Int>, of stack: T5Stack, _ input: Variable, _ layout: PackedLayout, _ pass: ForwardPass,
    memory: ((T5Attention) -> CrossMemory)? = nil
  ) -> Variable {
    var x = input
    var bias: OffsetBias?
    for block in stack.blocks[range.clamped(to: stack.blocks.indices)] {
      x = selfAttend(block.selfAttention, x, layout, pass) { keyLength in
        // One bias serves all blocks; a method that lengthens the keys does so in every block.
        if let bias { return bias }
        let made = offsetBias(stack, length: keyLength, pass)
        bias = made
        return made
      }
      if let cross = block.crossAttention, let memory {
        x = crossAttend(cross, x, layout, memory(cross), pass)
      }
      x = feedForward(block.feedForward, x, layout, pass)
    }
    guard range.contains(stack.blocks.count) else { return x }
    let normed = pass.tape.rmsNorm(x, weight: pass.variable(stack.finalNorm), epsilon: configuration.normEpsilon)
    return pass.tape.dropout(normed, pass.dropoutMask(layout))
  }

  func offsetBias(_ stack: T5Stack, length: Int, _ pass: ForwardPass) -> OffsetBias {
    pass.tape.offsetBias(
      table: pass.variable(stack.relativeBias), bucketOfOffset: stack.positions.buckets(length: length),
      zero: length - 1)
  }

  func form(causal: Bool, _ pass: ForwardPass) -> AttentionForm {
    AttentionForm(
      heads: configuration.headCount, headWidth: configuration.headWidth, scale: 1, causal: causal,
      dropout: pass.attentionDropout(), operands: pass.tape.precision == .bf16 ? OPERAND_BF16 : OPERAND_FP32)
  }

  private func selfAttend(
    _ attention: T5Attention, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass, bias: (Int) -> OffsetBias?
  ) -> Variable {
    let normed = pass.tape.rmsNorm(x, weight: pass.variable(attention.norm), epsilon: configuration.normEpsilon)
    let context = attend(
      attention, q: attention.q(normed, layout, pass), k: attention.k(normed, layout, pass),
      v: attention.v(normed, layout, pass), layout, layout, bias: bias, pass)
    return pass.add(attention.o(context, layout, pass), to: x, path: attention.path, layout)
  }

  /// Attention with the method's prefix, if it has one, in front of keys and values. `bias` is given the key length.
  func attend(
    _ attention: T5Attention, q: Variable, k: Variable, v: Variable, _ layout: PackedLayout, _ keys: PackedLayout,
    bias: (Int) -> OffsetBias?, _ pass: ForwardPass
  ) -> Variable {
    let tape = pass.tape
    var (k, v, keyLayout) = (k, v, keys)
    if let prefix = pass.seams.keyValuePrefix(layer: attention.layer, attention.kind, pass) {
      k = tape.prepend(prefix.keys, to: k, layout: keyLayout)
      v = tape.prepend(prefix.values, to: v, layout: keyLayout)
      keyLayout = keyLayout.lengthened(by: prefix.keys.value.rows)
    }
    return tape.attention(
      q: q, k: k, v: v, queries: layout, keys: keyLayout, form: form(causal: attention.kind == .decoderSelf, pass),
      bias: bias(keyLayout.longest))
  }

  func feedForward(_ layer: T5FeedForward, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable {
    let tape = pass.tape
    let normed = tape.rmsNorm(x, weight: pass.variable(layer.norm), epsilon: configuration.normEpsilon)
    let gate = layer.gate(normed, layout, pass)
    let wide =
      layer.up.map { tape.gated(configuration.activation, gate: gate, $0(normed, layout, pass)) }
      ?? tape.activation(configuration.activation, gate)
    let output = layer.down(tape.dropout(wide, pass.dropoutMask(layout)), layout, pass)
    return pass.add(output, to: x, path: layer.path, layout)
  }
}
