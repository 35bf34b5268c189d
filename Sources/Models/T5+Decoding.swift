import Autograd
import NN
import TensorCore

extension T5 {
  public func startDecoding(
    sources: [[Int32]], examples: [UInt32], maxNewTokens: Int, _ pass: ForwardPass
  ) -> any DecodingState {
    T5DecodingState(self, sources: sources, examples: examples, maxNewTokens: maxNewTokens, pass)
  }
}

/// The key/value cache of a T5 decoder: cross-attention keys and values once per source, self-attention ones a row per
/// generated token. Sequences that have finished are left out of a step; nothing is moved.
final class T5DecodingState: DecodingState {
  private struct LayerCache {
    /// `[batch * capacity, H*K]`, a method's prefix first.
    let keys: Tensor
    let values: Tensor
    let memory: T5.CrossMemory
  }

  private let model: T5
  private let caches: [LayerCache]
  private let bias: OffsetBias
  private let examples: [UInt32]
  private let prefixLength: Int
  private let capacity: Int
  /// Tokens fed to each sequence so far.
  private var lengths: [Int]

  var startToken: Int32 { model.configuration.startID }

  init(_ model: T5, sources: [[Int32]], examples: [UInt32], maxNewTokens: Int, _ pass: ForwardPass) {
    precondition(!pass.tape.recordsGradients, "decoding records no gradients")
    self.model = model
    self.examples = examples
    let (memory, layout) = model.encode(sources: sources, examples: examples, pass)
    lengths = Array(repeating: 0, count: sources.count)
    let prefixes = model.decoder.blocks.map {
      pass.seams.keyValuePrefix(layer: $0.selfAttention.layer, .decoderSelf, pass)
    }
    let prefixLength = prefixes.first.flatMap { $0?.keys.value.rows } ?? 0
    let capacity = prefixLength + maxNewTokens
    self.prefixLength = prefixLength
    self.capacity = capacity
    bias = model.offsetBias(model.decoder, length: capacity, pass)
    let inner = model.configuration.innerSize
    caches = zip(model.decoder.blocks, prefixes).map { block, prefix in
      let keys = Tensor([sources.count * capacity, inner], in: pass.tape.pool)
      let values = Tensor([sources.count * capacity, inner], in: pass.tape.pool)
      if let prefix {
        for sequence in sources.indices {
          let rows = sequence * capacity..<sequence * capacity + prefixLength
          keys.rows(rows).copyElements(from: prefix.keys.value)
          values.rows(rows).copyElements(from: prefix.values.value)
        }
      }
      guard let cross = block.crossAttention else { preconditionFailure("a T5 decoder block has a cross-attention") }
      return LayerCache(
        keys: keys, values: values,
        memory: model.memory(of: cross, states: memory, layout, queryCount: maxNewTokens, pass))
    }
  }

  func lossSum(labels: [[Int32]], _ pass: ForwardPass) -> Double {
    let (h, layout) = model.decode(labels: labels, examples: examples, pass) { [caches] attention in
      caches[attention.layer].memory
    }
    return model.loss(h, layout, labels: labels.flatMap { $0 }, pass, gradientScale: 0)
  }

  func step(tokens: [Int32], active: [Int], _ pass: ForwardPass) -> Tensor {
    let tape = pass.tape
    let layout = PackedLayout(
      lengths: Array(repeating: 1, count: active.count), examples: active.map { examples[$0] })
    let own = PackedLayout(
      starts: active.map { $0 * capacity }, lengths: active.map { prefixLength + lengths[$0] + 1 },
      examples: layout.examples)
    let embedded = tape.embedding(pass.variable(model.shared), ids: tokens)
    var x = embedded
    for (block, cache) in zip(model.decoder.blocks, caches) {
      let attention = block.selfAttention
      let normed = norm(x, attention.norm, pass)
      let (k, v) = (attention.k(normed, layout, pass), attention.v(normed, layout, pass))
      for (row, sequence) in active.enumerated() {
        let position = sequence * capacity + prefixLength + lengths[sequence]
        cache.keys.rows(position..<position + 1).copyElements(from: k.value.rows(row..<row + 1))
        cache.values.rows(position..<position + 1).copyElements(from: v.value.rows(row..<row + 1))
      }
      // The one query of a sequence is its last position and sees every key: no mask is needed.
      let context = tape.attention(
        q: attention.q(normed, layout, pass), k: Variable(constant: cache.keys), v: Variable(constant: cache.values),
        queries: layout, keys: own, form: model.form(causal: false, pass), bias: bias)
      x = model.add(attention.o(context, layout, pass), to: x, path: attention.path, layout, pass)
      if let cross = block.crossAttention {
        x = model.crossAttend(cross, x, layout, cache.memory.sequences(active), pass)
      }
      x = model.feedForward(block.feedForward, x, layout, pass)
    }
    for sequence in active { lengths[sequence] += 1 }
    return model.logits(norm(x, model.decoder.finalNorm, pass), layout, pass).value
  }

  private func norm(_ x: Variable, _ weight: Parameter, _ pass: ForwardPass) -> Variable {
    pass.tape.rmsNorm(x, weight: pass.variable(weight), epsilon: model.configuration.normEpsilon)
  }
}
