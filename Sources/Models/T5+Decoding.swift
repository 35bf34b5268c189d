import Autograd
import NN
import TensorCore

extension T5 {
  public func startDecoding(
    _ batch: SourceBatch, maxNewTokens: Int, beamCount: Int, _ pass: ForwardPass
  ) -> any DecodingState {
    T5DecodingState(self, batch, maxNewTokens: maxNewTokens, beamCount: beamCount, pass)
  }

  /// Source tokens the encoder takes at once before decoding: enough for full-speed products, few enough for the cache.
  private static let encoderTokens = 2048

  /// The encoder's states of all sources, run some sequences at a time.
  fileprivate func encodeInParts(_ batch: SourceBatch, _ pass: ForwardPass) -> (Variable, PackedLayout) {
    let sources = batch.sources
    var parts: [Range<Int>] = []
    var tokens = 0
    for index in sources.indices {
      if let part = parts.last, tokens + sources[index].count <= Self.encoderTokens {
        parts[parts.count - 1] = part.lowerBound..<index + 1
      } else {
        parts.append(index..<index + 1)
        tokens = 0
      }
      tokens += sources[index].count
    }
    guard parts.count > 1, pass.frozen == nil else { return encode(batch, pass) }
    let encoded = parts.map { encode(batch.part($0), pass) }
    let layout = PackedLayout(lengths: encoded.flatMap(\.1.lengths), examples: batch.examples)
    let states = Tensor([layout.tokenCount, configuration.hiddenSize], in: pass.tape.pool)
    var row = 0
    for (part, _) in encoded {
      states.rows(row..<row + part.value.rows).copyElements(from: part.value)
      row += part.value.rows
    }
    return (Variable(constant: states), layout)
  }
}

/// The key/value cache of a T5 decoder.
///
/// Cross-attention has one memory for each source, which all rows of the source look at together. Self-attention has a lane
/// for each row that a source may have, where the keys and values of the row go, position by position; nothing is moved
/// afterwards. A row knows the places of its own past by number (its slots), so that beams fork and rows are dropped by
/// copying numbers. A method's prefix is the past that all rows share, in lanes of its own.
final class T5DecodingState: DecodingState {
  private struct LayerCache {
    /// `[lanes, H, positions, K]`
    let keys: Tensor
    let values: Tensor
    let memory: T5.CrossMemory
    /// The memory as steps read it; nil where it is the encoder's states themselves.
    let cross: CrossCache?
  }

  /// Keys and values with the method's prefix in front, head by head within each source.
  private struct CrossCache {
    let keys: Tensor
    let values: Tensor
    let layout: PackedLayout
  }

  private let model: T5
  private let caches: [LayerCache]
  private let bias: OffsetBias
  private let examples: [UInt32]
  private let beamCount: Int
  /// Positions of a lane.
  private let laneLength: Int
  private let prefixLength: Int
  /// Of each row of the last step its source and, `[rows, length]`, the places of its past.
  private var sourceOfRow: [Int]
  private var slots: [Int32]
  private var length: Int

  func prompt(ofSource index: Int) -> [Int32] { [model.configuration.generationStartID] }

  private var heads: Int { model.configuration.headCount }
  private var headWidth: Int { model.configuration.headWidth }

  init(
    _ model: T5, _ batch: SourceBatch, maxNewTokens: Int, beamCount: Int, _ pass: ForwardPass
  ) {
    let sources = batch.sources
    precondition(!pass.tape.recordsGradients, "decoding records no gradients")
    self.model = model
    examples = batch.examples
    self.beamCount = beamCount
    let (states, layout) = model.encodeInParts(batch, pass)
    let prefixes = model.decoder.blocks.map {
      pass.seams.keyValuePrefix(layer: $0.selfAttention.layer, .decoderSelf, pass)
    }
    let prefixLength = prefixes.first.flatMap { $0?.keys.value.rows } ?? 0
    let laneLength = max(maxNewTokens, 1)
    self.prefixLength = prefixLength
    self.laneLength = laneLength
    bias = model.offsetBias(model.decoder, length: prefixLength + laneLength, pass)
    let lanes = sources.count * beamCount
    let config = model.configuration
    func slot(lane: Int, position: Int) -> Int { lane * config.headCount * laneLength + position }
    let prefixSlots = (0..<prefixLength).map { slot(lane: lanes + $0 / laneLength, position: $0 % laneLength) }
    length = prefixLength
    sourceOfRow = Array(sources.indices)
    slots = sources.flatMap { _ in prefixSlots.map { Int32($0) } }
    let shape = [
      lanes + (prefixLength + laneLength - 1) / laneLength, config.headCount, laneLength, config.headWidth,
    ]
    caches = zip(model.decoder.blocks, prefixes).map { block, prefix in
      guard let cross = block.crossAttention else { preconditionFailure("a T5 decoder block has a cross-attention") }
      let (keys, values) = (Tensor(shape, in: pass.tape.pool), Tensor(shape, in: pass.tape.pool))
      if let prefix {
        Self.store(prefix.keys.value, at: prefixSlots, in: keys)
        Self.store(prefix.values.value, at: prefixSlots, in: values)
      }
      // Absorbed step by step the queries make small products, at about half the speed of the projections.
      let counts = sources.map { _ in 2 * maxNewTokens * beamCount }
      let memory = model.memory(of: cross, states: states, layout, queryCounts: counts, pass)
      return LayerCache(
        keys: keys, values: values, memory: memory,
        cross: Self.crossCache(memory, layer: cross.layer, heads: config.headCount, pass))
    }
  }

  private static func crossCache(_ memory: T5.CrossMemory, layer: Int, heads: Int, _ pass: ForwardPass) -> CrossCache? {
    guard case .projected(var k, var v, var layout) = memory else { return nil }
    if let prefix = pass.seams.keyValuePrefix(layer: layer, .cross, pass) {
      k = pass.tape.prepend(prefix.keys, to: k, layout: layout)
      v = pass.tape.prepend(prefix.values, to: v, layout: layout)
      layout = layout.lengthened(by: prefix.keys.value.rows)
    }
    return CrossCache(
      keys: pass.tape.headMajor(k.value, layout, heads: heads),
      values: pass.tape.headMajor(v.value, layout, heads: heads), layout: layout)
  }

  /// Rows `[rows, H*K]` to their places in a cache `[lanes, H, positions, K]`.
  private static func store(_ rows: Tensor, at places: [Int], in cache: Tensor) {
    let (heads, length, width) = (cache.shape[1], cache.shape[2], cache.shape[3])
    for (row, place) in places.enumerated() {
      let (source, target) = (rows.pointer + row * heads * width, cache.pointer + place * width)
      for head in 0..<heads {
        (target + head * length * width).update(from: source + head * width, count: width)
      }
    }
  }

  func losses(labels: [[Int32]], _ pass: ForwardPass) -> [Double] {
    let (h, layout) = model.decode(labels: labels, examples: examples, pass) { [caches] attention in
      caches[attention.layer].memory
    }
    return model.losses(h, layout, labels: labels, pass, gradientScale: 0)
  }

  func step(tokens: [Int32], parents: [Int], _ pass: ForwardPass) -> Tensor {
    sourceOfRow = parents.map { sourceOfRow[$0] }
    let rows = StepRows(sources: sourceOfRow, examples: examples)
    let places = places(rows)
    advance(parents, to: places)
    let own = StepGroup(
      queries: 0..<parents.count, start: 0, headStride: laneLength * headWidth, count: length, slots: slots)
    let embedded = pass.tape.embedding(pass.variable(model.decoderEmbedding), ids: tokens)
    var x = embedded
    for (block, cache) in zip(model.decoder.blocks, caches) {
      let attention = block.selfAttention
      let normed = norm(x, attention.norm, pass)
      Self.store(attention.k(normed, rows.layout, pass).value, at: places, in: cache.keys)
      Self.store(attention.v(normed, rows.layout, pass).value, at: places, in: cache.values)
      let context = pass.tape.stepAttention(
        q: attention.q(normed, rows.layout, pass), keys: cache.keys, values: cache.values, groups: [own],
        form: model.form(causal: false, pass), bias: bias)
      x = pass.add(attention.o(context, rows.layout, pass), to: x, path: attention.path, rows.layout)
      if let cross = block.crossAttention { x = crossAttend(cross, x, rows, cache, pass) }
      x = model.feedForward(block.feedForward, x, rows.layout, pass)
    }
    return model.logits(norm(x, model.decoder.finalNorm, pass), rows.layout, pass).value
  }

  private func crossAttend(
    _ attention: T5Attention, _ x: Variable, _ rows: StepRows, _ cache: LayerCache, _ pass: ForwardPass
  ) -> Variable {
    let layout = rows.layout
    guard let cross = cache.cross else {
      return model.crossAttend(attention, x, layout, cache.memory.sequences(rows.sources), pass)
    }
    let inner = heads * headWidth
    let groups = rows.sources.indices.map { index in
      let (source, first) = (rows.sources[index], layout.starts[index])
      let count = cross.layout.lengths[source]
      return StepGroup(
        queries: first..<first + layout.lengths[index], start: cross.layout.starts[source] * inner,
        headStride: count * headWidth, count: count)
    }
    let context = pass.tape.stepAttention(
      q: attention.q(norm(x, attention.norm, pass), layout, pass), keys: cross.keys, values: cross.values,
      groups: groups, form: model.form(causal: false, pass))
    return pass.add(attention.o(context, layout, pass), to: x, path: attention.path, layout)
  }

  /// Where the keys and values of this step's rows go: the lane of the row, at the position of the step.
  private func places(_ rows: StepRows) -> [Int] {
    let position = length - prefixLength
    precondition(position < laneLength, "a step beyond the \(laneLength) tokens that were announced")
    return zip(rows.sources, rows.layout.lengths).flatMap { source, count in
      precondition(count <= beamCount, "\(count) rows of one source, \(beamCount) were announced")
      return (0..<count).map { (source * beamCount + $0) * heads * laneLength + position }
    }
  }

  /// The past of each row: that of its parent and its own place.
  private func advance(_ parents: [Int], to places: [Int]) {
    let longer = length + 1
    slots = [Int32](unsafeUninitializedCapacity: parents.count * longer) { [slots, length] target, count in
      for (row, parent) in parents.enumerated() {
        for position in 0..<length { target[row * longer + position] = slots[parent * length + position] }
        target[row * longer + length] = Int32(places[row])
      }
      count = parents.count * longer
    }
    length = longer
  }

  private func norm(_ x: Variable, _ weight: Parameter, _ pass: ForwardPass) -> Variable {
    pass.tape.rmsNorm(x, weight: pass.variable(weight), epsilon: model.configuration.normEpsilon)
  }
}

/// The rows of a step by their sources.
private struct StepRows {
  /// Sources that have rows, ascending.
  var sources: [Int] = []
  /// The rows of each of them as a sequence.
  let layout: PackedLayout

  init(sources sourceOfRow: [Int], examples: [UInt32]) {
    var lengths: [Int] = []
    for source in sourceOfRow {
      if let last = sources.last, last == source {
        lengths[lengths.count - 1] += 1
      } else {
        precondition(source > sources.last ?? -1, "the rows of a step are not in the order of their sources")
        sources.append(source)
        lengths.append(1)
      }
    }
    layout = PackedLayout(lengths: lengths, examples: sources.map { examples[$0] })
  }
}
