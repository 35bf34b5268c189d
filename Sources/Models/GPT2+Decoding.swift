import Autograd
import NN
import TensorCore

extension GPT2 {
  public func startDecoding(
    _ batch: SourceBatch, maxNewTokens: Int, beamCount: Int, _ pass: ForwardPass
  ) -> any DecodingState {
    GPT2DecodingState(
      self, sources: batch.sources, examples: batch.examples, maxNewTokens: maxNewTokens, beamCount: beamCount)
  }
}

/// The key/value cache of a GPT-2.
///
/// Each source has a region: head by head the positions that all its rows share (the method's prefix, virtual tokens, the
/// prompt but for its last token), then a lane for each row it may have, where the keys and values of the row go, position
/// by position; nothing is moved afterwards. A row knows the places of its own past by number (its slots), so that beams
/// fork and rows are dropped by copying numbers.
final class GPT2DecodingState: DecodingState {
  /// Where the cache of one source lies.
  private struct Region {
    /// Element at which head 0 begins.
    let start: Int
    /// Positions that all rows share.
    let sharedCount: Int
    /// All positions of a head.
    let positionCount: Int
  }

  private let model: GPT2
  private let sources: [[Int32]]
  private let examples: [UInt32]
  private let beamCount: Int
  /// Positions of a lane.
  private let laneLength: Int
  private var regions: [Region] = []
  /// Keys and values of each layer; empty until the sources have been read.
  private var caches: [(keys: Tensor, values: Tensor)] = []
  /// Of each row of the last step its source, and the places of its past in the source's region.
  private var sourceOfRow: [Int]
  private var slots: [[Int32]] = []
  /// Steps done.
  private var stepCount = 0

  private var heads: Int { model.configuration.headCount }
  private var headWidth: Int { model.configuration.headWidth }

  init(_ model: GPT2, sources: [[Int32]], examples: [UInt32], maxNewTokens: Int, beamCount: Int) {
    precondition(sources.allSatisfy { !$0.isEmpty }, "a decoder goes on from at least one token")
    self.model = model
    self.sources = sources
    self.examples = examples
    self.beamCount = beamCount
    laneLength = max(maxNewTokens, 1)
    sourceOfRow = Array(sources.indices)
  }

  func prompt(ofSource index: Int) -> [Int32] { sources[index] }

  func losses(labels: [[Int32]], _ pass: ForwardPass) -> [Double] {
    let inputs = zip(sources, labels).map { source, labels in
      source + labels.dropLast().map { $0 == ignoredLabel ? model.configuration.padID : $0 }
    }
    let (states, layout) = read(inputs, pass)
    var rows: [Int32?] = []
    for (index, labels) in labels.enumerated() {
      let end = layout.starts[index] + layout.lengths[index] - inputs[index].count + sources[index].count
      rows += labels.indices.map { Int32(end + $0 - 1) }
    }
    return model.losses(states, rows: rows, labels: labels, pass, 0)
  }

  /// Runs the model over sequences that begin with the sources, and keeps the keys and values of all but the last token of
  /// each source.
  private func read(_ inputs: [[Int32]], _ pass: ForwardPass) -> (Variable, PackedLayout) {
    precondition(!pass.tape.recordsGradients, "decoding records no gradients")
    return model.read(inputs, examples: examples, pass) { [self] layer, k, v, layout in
      let prefix = pass.seams.keyValuePrefix(layer: layer, .decoderSelf, pass)
      let prefixLength = prefix?.keys.value.rows ?? 0
      if caches.isEmpty { allocate(layout, inputs: inputs, prefixLength: prefixLength, pass) }
      let shape = [regions.reduce(0) { $0 + $1.positionCount } * heads * headWidth]
      let cache = (keys: Tensor(shape, in: pass.tape.pool), values: Tensor(shape, in: pass.tape.pool))
      for (index, region) in regions.enumerated() {
        for (rows, own, target) in [
          (k, prefix?.keys.value, cache.keys), (v, prefix?.values.value, cache.values),
        ] {
          if let own { for row in 0..<prefixLength { store(own, row: row, at: row, of: region, in: target) } }
          for position in prefixLength..<region.sharedCount {
            store(rows, row: layout.starts[index] + position - prefixLength, at: position, of: region, in: target)
          }
        }
      }
      caches.append(cache)
    }
  }

  private func allocate(_ layout: PackedLayout, inputs: [[Int32]], prefixLength: Int, _ pass: ForwardPass) {
    var start = 0
    for (index, source) in sources.enumerated() {
      let virtual = layout.lengths[index] - inputs[index].count
      let shared = prefixLength + virtual + source.count - 1
      let region = Region(start: start, sharedCount: shared, positionCount: shared + beamCount * laneLength)
      regions.append(region)
      start += region.positionCount * heads * headWidth
    }
    slots = regions.map { region in (0..<region.sharedCount).map { Int32($0) } }
  }

  /// A row `[H*K]` to its place in the region of a source.
  private func store(_ rows: Tensor, row: Int, at position: Int, of region: Region, in cache: Tensor) {
    let source = rows.pointer + row * rows.width
    for head in 0..<heads {
      let place = region.start + (head * region.positionCount + position) * headWidth
      (cache.pointer + place).update(from: source + head * headWidth, count: headWidth)
    }
  }

  func step(tokens: [Int32], parents: [Int], _ pass: ForwardPass) -> Tensor {
    if caches.isEmpty {
      // The last token of a source is fed by the first step.
      let beginnings = sources.map { Array($0.dropLast()) }
      _ = read(beginnings, pass)
    }
    precondition(stepCount < laneLength, "a step beyond the \(laneLength) tokens that were announced")
    sourceOfRow = parents.map { sourceOfRow[$0] }
    let places = places()
    slots = zip(parents, places).map { slots[$0] + [Int32($1)] }
    stepCount += 1
    let groups = groups()
    let layout = PackedLayout(lengths: sourceOfRow.map { _ in 1 }, examples: sourceOfRow.map { examples[$0] })
    let positions = slots.map { Int32($0.count - 1) }
    var x = pass.tape.residual(
      pass.tape.embedding(pass.variable(model.tokens), ids: tokens),
      adding: pass.tape.embedding(pass.variable(model.positions), ids: positions))
    for (block, cache) in zip(model.blocks, caches) {
      x = model.attend(block, x, layout, pass) { q, k, v in
        for (row, place) in places.enumerated() {
          let region = regions[sourceOfRow[row]]
          store(k.value, row: row, at: place, of: region, in: cache.keys)
          store(v.value, row: row, at: place, of: region, in: cache.values)
        }
        return pass.tape.stepAttention(
          q: q, keys: cache.keys, values: cache.values, groups: groups,
          form: model.form(layer: block.layer, causal: false, pass))
      }
      x = model.feedForward(block, x, layout, pass)
    }
    return model.logits(x, layout, pass).value
  }

  /// Where the keys and values of this step's rows go: the lane of the row, at the position of the step.
  private func places() -> [Int] {
    var lane = 0
    return sourceOfRow.indices.map { row in
      let source = sourceOfRow[row]
      if row > 0 {
        precondition(source >= sourceOfRow[row - 1], "the rows of a step are not in the order of their sources")
        lane = source == sourceOfRow[row - 1] ? lane + 1 : 0
      }
      precondition(lane < beamCount, "more rows of one source than the \(beamCount) that were announced")
      return regions[source].sharedCount + lane * laneLength + stepCount
    }
  }

  /// The rows of each source, which look at the same region.
  private func groups() -> [StepGroup] {
    var groups: [StepGroup] = []
    var first = 0
    while first < sourceOfRow.count {
      let source = sourceOfRow[first]
      let end = sourceOfRow[first...].firstIndex { $0 != source } ?? sourceOfRow.count
      groups.append(
        StepGroup(
          queries: first..<end, start: regions[source].start, headStride: regions[source].positionCount * headWidth,
          count: slots[first].count, slots: slots[first..<end].flatMap(\.self)))
      first = end
    }
    return groups
  }
}
