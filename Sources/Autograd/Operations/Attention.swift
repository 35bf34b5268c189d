import CKernels
import TensorCore

/// What all heads of an attention share.
public struct AttentionForm {
  public let heads: Int
  public let headWidth: Int
  /// Factor on the scores: 1 in T5, 1/√headWidth elsewhere.
  public let scale: Float
  /// Query i sees keys up to its own position only; queries are the last of the keys (`keys - queries` keys lie before
  /// the first query: a cache or a prefix).
  public let causal: Bool
  /// Dropout on the probabilities; the key of head h is a site of its own within the generator.
  public let dropout: (rate: Float, generator: CounterGenerator)?

  public init(
    heads: Int, headWidth: Int, scale: Float, causal: Bool,
    dropout: (rate: Float, generator: CounterGenerator)? = nil
  ) {
    self.heads = heads
    self.headWidth = headWidth
    self.scale = scale
    self.causal = causal
    self.dropout = dropout
  }

  var width: Int { heads * headWidth }

  /// Query rows of one tile: the scores `[rows, keys]` stay within about 256 KB of cache.
  func tileRows(keys: Int) -> Int { min(256, max(16, 65_536 / max(keys, 1))) }
}

/// One head of one sequence, a tile of its query rows: the unit both directions walk over in the same order.
private struct AttentionTile {
  let head: Int
  let queryRow: Int
  let keyRow: Int
  let rows: Int
  /// Keys this tile looks at.
  let keys: Int
  /// Position of the first query among the keys.
  let firstPosition: Int
  let example: UInt32
  let firstOfHead: Bool
}

extension Tape {
  /// Multi-head attention within each sequence: `softmax(scale * Q Kᵀ + bias) V`.
  ///
  /// Scores exist one tile at a time in both directions (the backward pass computes them again from the saved
  /// log-sum-exp of each row; Dao et al. 2022), so memory grows with the length, not with its square.
  /// Shapes: q `[queries, H*K]` packed as `queries`, k and v `[keys, H*K]` packed as `keys` (same sequences, own
  /// lengths), result as q. Gradient: to q, k, v and the bias vectors.
  public func attention(
    q: Variable, k: Variable, v: Variable, queries: PackedLayout, keys: PackedLayout, form: AttentionForm,
    bias: OffsetBias? = nil
  ) -> Variable {
    let kernel = AttentionKernel(form: form, queries: queries, keys: keys, bias: bias, pool: pool)
    let value = allocate(q.shape)
    let logSumExp = allocate([form.heads, max(q.value.rows, 1)])
    kernel.forward(q: q.value, k: k.value, v: v.value, into: value, logSumExp: logSumExp)
    let output = result(value, of: q, k, v, bias?.values ?? q)
    record(output) { [self] gradient in
      let dq = q.needsGradient ? allocate(q.shape) : nil
      let dk = k.needsGradient ? allocate(k.shape) : nil
      let dv = v.needsGradient ? allocate(v.shape) : nil
      kernel.backward(
        q: q.value, k: k.value, v: v.value, output: value, logSumExp: logSumExp, gradient: gradient, dq: dq, dk: dk,
        dv: dv, biasGradient: bias?.values.slot?.accumulator(in: pool))
      if let dq { q.slot?.add(dq, in: pool) }
      if let dk { k.slot?.add(dk, in: pool) }
      if let dv { v.slot?.add(dv, in: pool) }
    }
    return output
  }
}

private struct AttentionKernel {
  let form: AttentionForm
  let queries: PackedLayout
  let keys: PackedLayout
  let bias: OffsetBias?
  let pool: BufferPool

  private var scratchRows: Int { form.tileRows(keys: keys.longest) }

  private func scratch() -> Tensor {
    Tensor([min(scratchRows, max(queries.longest, 1)), max(keys.longest, 1)], in: pool)
  }

  private func forEachTile(_ body: (AttentionTile) -> Void) {
    for sequence in 0..<queries.sequenceCount {
      let (length, keyCount) = (queries.lengths[sequence], keys.lengths[sequence])
      guard length > 0, keyCount > 0 else { continue }
      let shift = keyCount - length
      for head in 0..<form.heads {
        for first in stride(from: 0, to: length, by: scratchRows) {
          let rows = min(scratchRows, length - first)
          body(
            AttentionTile(
              head: head, queryRow: queries.starts[sequence] + first, keyRow: keys.starts[sequence], rows: rows,
              keys: form.causal ? min(keyCount, shift + first + rows) : keyCount,
              firstPosition: bias != nil || form.causal ? shift + first : first,
              example: queries.examples[sequence], firstOfHead: first == 0))
        }
      }
    }
  }

  private func at(_ tensor: Tensor, row: Int, head: Int, transposed: Bool = false) -> Matrix {
    Matrix(
      tensor.pointer + row * form.width + head * form.headWidth, stride: form.width, transposed: transposed)
  }

  private func scores(_ tile: AttentionTile, q: Tensor, k: Tensor, into scores: Tensor) {
    multiply(
      at(q, row: tile.queryRow, head: tile.head), at(k, row: tile.keyRow, head: tile.head, transposed: true),
      into: Matrix(scores.pointer, stride: scores.width), m: tile.rows, n: tile.keys, k: form.headWidth)
  }

  /// `y = mask * x / (1 - rate)` over a tile `[rows, keys]`.
  private func drop(_ tile: AttentionTile, from x: Tensor, to y: Tensor) {
    guard let dropout = form.dropout else { return }
    let examples = [UInt32](repeating: tile.example, count: tile.rows)
    let positions = (0..<tile.rows).map { UInt32(tile.firstPosition + $0) }
    k_dropout(
      x.pointer, y.pointer, examples, positions, tile.rows, tile.keys, x.width,
      CounterGenerator(parent: dropout.generator, site: UInt32(tile.head)).key, dropout.rate)
  }

  func forward(q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSumExp: Tensor) {
    let p = scratch()
    forEachTile { tile in
      scores(tile, q: q, k: k, into: p)
      k_softmax(
        p.pointer, tile.rows, tile.keys, p.width, tile.firstPosition, bias?.pointer(head: tile.head),
        form.causal ? 1 : 0, form.scale, logSumExp.pointer + tile.head * logSumExp.width + tile.queryRow)
      drop(tile, from: p, to: p)
      multiply(
        Matrix(p.pointer, stride: p.width), at(v, row: tile.keyRow, head: tile.head),
        into: at(output, row: tile.queryRow, head: tile.head), m: tile.rows, n: form.headWidth, k: tile.keys)
    }
  }

  func backward(
    q: Tensor, k: Tensor, v: Tensor, output: Tensor, logSumExp: Tensor, gradient: Tensor, dq: Tensor?,
    dk: Tensor?, dv: Tensor?, biasGradient: Tensor?
  ) {
    let (p, dp) = (scratch(), scratch())
    let dropped = form.dropout == nil ? p : scratch()
    let delta = Tensor([scratchRows], in: pool)
    if form.causal {
      // A causal tile skips keys after its last query: those rows get their gradient from later tiles, or none.
      dk?.fill(0)
      dv?.fill(0)
    }
    forEachTile { tile in
      scores(tile, q: q, k: k, into: p)
      k_softmax_again(
        p.pointer, tile.rows, tile.keys, p.width, tile.firstPosition, bias?.pointer(head: tile.head),
        form.causal ? 1 : 0, form.scale, logSumExp.pointer + tile.head * logSumExp.width + tile.queryRow)
      drop(tile, from: p, to: dropped)
      let upstream = at(gradient, row: tile.queryRow, head: tile.head)
      let beta: Float = tile.firstOfHead && !form.causal ? 0 : 1
      if let dv {
        multiply(
          Matrix(dropped.pointer, stride: dropped.width, transposed: true), upstream,
          into: at(dv, row: tile.keyRow, head: tile.head), m: tile.keys, n: form.headWidth, k: tile.rows, beta: beta)
      }
      guard dq != nil || dk != nil || biasGradient != nil else { return }
      multiply(
        upstream, at(v, row: tile.keyRow, head: tile.head, transposed: true),
        into: Matrix(dp.pointer, stride: dp.width), m: tile.rows, n: tile.keys, k: form.headWidth)
      drop(tile, from: dp, to: dp)
      let result = at(output, row: tile.queryRow, head: tile.head)
      k_row_dots(
        upstream.pointer, result.pointer, delta.pointer, tile.rows, form.headWidth, upstream.stride, result.stride)
      k_softmax_backward(p.pointer, dp.pointer, delta.pointer, tile.rows, tile.keys, p.width)
      if let biasGradient, let bias {
        k_bias_gradient(
          dp.pointer, tile.rows, tile.keys, dp.width, tile.firstPosition,
          biasGradient.pointer + tile.head * biasGradient.width + bias.zero)
      }
      if let dq {
        multiply(
          Matrix(dp.pointer, stride: dp.width), at(k, row: tile.keyRow, head: tile.head),
          into: at(dq, row: tile.queryRow, head: tile.head), m: tile.rows, n: form.headWidth, k: tile.keys,
          alpha: form.scale)
      }
      if let dk {
        multiply(
          Matrix(dp.pointer, stride: dp.width, transposed: true), at(q, row: tile.queryRow, head: tile.head),
          into: at(dk, row: tile.keyRow, head: tile.head), m: tile.keys, n: form.headWidth, k: tile.rows,
          alpha: form.scale, beta: beta)
      }
    }
  }
}
