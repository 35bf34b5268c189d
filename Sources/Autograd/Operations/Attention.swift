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
  /// What the products read; they are summed in fp32 either way, and softmax is fp32.
  public let operands: operand_kind

  public init(
    heads: Int, headWidth: Int, scale: Float, causal: Bool,
    dropout: (rate: Float, generator: CounterGenerator)? = nil, operands: operand_kind = OPERAND_FP32
  ) {
    self.heads = heads
    self.headWidth = headWidth
    self.scale = scale
    self.causal = causal
    self.dropout = dropout
    self.operands = operands
  }

  var width: Int { heads * headWidth }

  /// Query rows of one tile. Part of the arithmetic: gradients of keys and values are added tile by tile.
  static let tileRows = 128
}

/// One head of one sequence.
private struct AttentionHead {
  let head: Int
  let queryRow: Int
  let queries: Int
  let keyRow: Int
  let keys: Int
  let example: UInt32
}

/// Some query rows of a head: the unit both directions walk over in the same order.
private struct AttentionTile {
  let head: Int
  let queryRow: Int
  let rows: Int
  /// Keys this tile looks at.
  let keys: Int
  /// Position of the first query among the keys.
  let firstPosition: Int
  let example: UInt32
  let isFirst: Bool
}

extension Tape {
  /// Multi-head attention within each sequence: `softmax(scale * Q Kᵀ + bias) V`.
  ///
  /// Scores exist one tile at a time in both directions (the backward pass computes them again from the saved
  /// log-sum-exp of each row; Dao et al. 2022), so memory grows with the length, not with its square.
  /// Shapes: q `[queries, H*K]` packed as `queries`, k and v `[keys, H*K]` packed as `keys` (same sequences, own
  /// lengths), result as q. Gradient: to q, k, v and the bias vectors. On an fp16 tape q, k, v and the result are fp16
  /// numbers, scores and softmax fp32.
  public func attention(
    q: Variable, k: Variable, v: Variable, queries: PackedLayout, keys: PackedLayout, form: AttentionForm,
    bias: OffsetBias? = nil
  ) -> Variable {
    let kernel = AttentionKernel(form: form, queries: queries, keys: keys, bias: bias, pool: pool)
    let (q, k, v) = (operand(q), operand(k), operand(v))
    let value = allocate(q.shape)
    // Rows that belong to no sequence have no context and no gradient.
    let (coversQueries, coversKeys) = (queries.tokenCount == q.value.rows, keys.tokenCount == k.value.rows)
    if !coversQueries { value.fill(0) }
    let logSumExp = allocate([form.heads, max(q.value.rows, 1)])
    kernel.forward(q: q.value, k: k.value, v: v.value, into: value, logSumExp: logSumExp)
    let output = halfResult(value, of: q, k, v, bias?.values ?? q)
    guard output.needsGradient else { return output }
    func kept(_ x: Variable) -> Kept { form.operands == OPERAND_BF16 ? Kept(bfloat16: x.value, in: pool) : keep(x) }
    let kept = (q: kept(q), k: kept(k), v: kept(v))
    let slots = (q: q.slot, k: k.slot, v: v.slot)
    record(output) { [self] gradient in
      let (q, k, v) = (kept.q.value(in: pool), kept.k.value(in: pool), kept.v.value(in: pool))
      let dq = slots.q.map { allocate($0.shape) }
      let dk = slots.k.map { allocate($0.shape) }
      let dv = slots.v.map { allocate($0.shape) }
      if !coversQueries { dq?.fill(0) }
      if !coversKeys { for tensor in [dk, dv] { tensor?.fill(0) } }
      kernel.backward(
        q: q, k: k, v: v, logSumExp: logSumExp, gradient: gradient, dq: dq, dk: dk, dv: dv,
        biasGradient: bias?.values.slot?.accumulator(in: pool))
      if let dq { slots.q?.add(dq, in: pool) }
      if let dk { slots.k?.add(dk, in: pool) }
      if let dv { slots.v?.add(dv, in: pool) }
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

  private var tileRows: Int { min(AttentionForm.tileRows, max(queries.longest, 1)) }
  /// Distance between the rows of a tile of scores.
  private var stride: Int { max((keys.longest + 15) / 16 * 16, 16) }

  private func forEachHead(_ body: (AttentionHead) -> Void) {
    for sequence in 0..<queries.sequenceCount {
      let (length, keyCount) = (queries.lengths[sequence], keys.lengths[sequence])
      guard length > 0, keyCount > 0 else { continue }
      for head in 0..<form.heads {
        body(
          AttentionHead(
            head: head, queryRow: queries.starts[sequence], queries: length, keyRow: keys.starts[sequence],
            keys: keyCount, example: queries.examples[sequence]))
      }
    }
  }

  private func forEachTile(_ head: AttentionHead, _ body: (AttentionTile) -> Void) {
    let shift = head.keys - head.queries
    for first in Swift.stride(from: 0, to: head.queries, by: tileRows) {
      let rows = min(tileRows, head.queries - first)
      body(
        AttentionTile(
          head: head.head, queryRow: head.queryRow + first, rows: rows,
          keys: form.causal ? min(head.keys, shift + first + rows) : head.keys,
          firstPosition: bias != nil || form.causal ? shift + first : first, example: head.example,
          isFirst: first == 0))
    }
  }

  /// The columns of one head from this row on.
  private func at(_ tensor: Tensor, row: Int, head: Int) -> UnsafeMutablePointer<Float> {
    tensor.pointer + row * form.width + head * form.headWidth
  }

  private func softmaxAgain(_ tile: AttentionTile, _ scores: Tensor, _ logSumExp: Tensor) {
    k_softmax_again(
      scores.pointer, tile.rows, tile.keys, stride, tile.firstPosition, bias?.pointer(head: tile.head),
      form.causal ? 1 : 0, form.scale, logSumExp.pointer + tile.head * logSumExp.width + tile.queryRow)
  }

  /// `y = mask * x / (1 - rate)` over a tile `[rows, keys]`.
  private func drop(_ tile: AttentionTile, from x: Tensor, to y: Tensor) {
    guard let dropout = form.dropout else { return }
    let examples = [UInt32](repeating: tile.example, count: tile.rows)
    let positions = (0..<tile.rows).map { UInt32(tile.firstPosition + $0) }
    k_dropout(
      x.pointer, y.pointer, examples, positions, tile.rows, tile.keys, stride,
      CounterGenerator(parent: dropout.generator, site: UInt32(tile.head)).key, dropout.rate)
  }

  func forward(q: Tensor, k: Tensor, v: Tensor, into output: Tensor, logSumExp: Tensor) {
    let p = Tensor([tileRows, stride], in: pool)
    forEachHead { head in
      forEachTile(head) { tile in
        overWidth(tile, at(q, row: tile.queryRow, head: head.head), at(k, row: head.keyRow, head: head.head), into: p)
        k_softmax(
          p.pointer, tile.rows, tile.keys, stride, tile.firstPosition, bias?.pointer(head: tile.head),
          form.causal ? 1 : 0, form.scale, logSumExp.pointer + tile.head * logSumExp.width + tile.queryRow)
        drop(tile, from: p, to: p)
        overKeys(
          tile, p, at(v, row: head.keyRow, head: head.head), into: at(output, row: tile.queryRow, head: tile.head))
      }
    }
  }

  // MARK: Products of a tile: x and y are the columns of a head, scores `[rows, keys]`

  /// `scores = x yᵀ`, summed over the head's width.
  private func overWidth(
    _ tile: AttentionTile, _ x: UnsafeMutablePointer<Float>, _ y: UnsafeMutablePointer<Float>, into scores: Tensor
  ) {
    multiply(
      Matrix(x, stride: form.width), Matrix(y, stride: form.width, transposed: true),
      into: Matrix(scores.pointer, stride: stride), m: tile.rows, n: tile.keys, k: form.headWidth,
      operands: form.operands)
  }

  /// `z [rows, K] = alpha * scores y`, summed over the keys.
  private func overKeys(
    _ tile: AttentionTile, _ scores: Tensor, _ y: UnsafeMutablePointer<Float>, into z: UnsafeMutablePointer<Float>,
    alpha: Float = 1
  ) {
    multiply(
      Matrix(scores.pointer, stride: stride), Matrix(y, stride: form.width), into: Matrix(z, stride: form.width),
      m: tile.rows, n: form.headWidth, k: tile.keys, alpha: alpha, operands: form.operands)
  }

  /// `z [keys, K] = alpha * scoresᵀ y (+ z)`, summed over the tile's queries.
  private func overQueries(
    _ tile: AttentionTile, _ scores: Tensor, _ y: UnsafeMutablePointer<Float>, into z: UnsafeMutablePointer<Float>,
    alpha: Float = 1
  ) {
    multiply(
      Matrix(scores.pointer, stride: stride, transposed: true), Matrix(y, stride: form.width),
      into: Matrix(z, stride: form.width), m: tile.keys, n: form.headWidth, k: tile.rows, alpha: alpha,
      adds: !tile.isFirst || form.causal, operands: form.operands)
  }

  func backward(
    q: Tensor, k: Tensor, v: Tensor, logSumExp: Tensor, gradient: Tensor, dq: Tensor?, dk: Tensor?, dv: Tensor?,
    biasGradient: Tensor?
  ) {
    let (p, dp) = (Tensor([tileRows, stride], in: pool), Tensor([tileRows, stride], in: pool))
    let dropped = form.dropout == nil ? p : Tensor([tileRows, stride], in: pool)
    let delta = Tensor([tileRows], in: pool)
    let needsScores = dq != nil || dk != nil || biasGradient != nil
    if form.causal || queries.lengths.contains(0) {
      // A causal tile skips keys after its last query: those rows get their gradient from later tiles, or none. So do the
      // keys of a sequence without queries.
      dk?.fill(0)
      dv?.fill(0)
    }
    forEachHead { head in
      let (key, value) = (at(k, row: head.keyRow, head: head.head), at(v, row: head.keyRow, head: head.head))
      forEachTile(head) { tile in
        let query = at(q, row: tile.queryRow, head: tile.head)
        let upstream = at(gradient, row: tile.queryRow, head: tile.head)
        overWidth(tile, query, key, into: p)
        softmaxAgain(tile, p, logSumExp)
        drop(tile, from: p, to: dropped)
        if let dv { overQueries(tile, dropped, upstream, into: at(dv, row: head.keyRow, head: tile.head)) }
        guard needsScores else { return }
        overWidth(tile, upstream, value, into: dp)
        drop(tile, from: dp, to: dp)
        // The tile holds whole rows, so that the result itself need not be kept: sum of dO * O = sum of P * dP.
        k_row_dots(p.pointer, dp.pointer, delta.pointer, tile.rows, tile.keys, stride, stride)
        k_softmax_backward(p.pointer, dp.pointer, delta.pointer, tile.rows, tile.keys, stride)
        if let biasGradient, let bias {
          k_bias_gradient(
            dp.pointer, tile.rows, tile.keys, stride, tile.firstPosition,
            biasGradient.pointer + tile.head * biasGradient.width + bias.zero)
        }
        if let dq { overKeys(tile, dp, key, into: at(dq, row: tile.queryRow, head: tile.head), alpha: form.scale) }
        if let dk {
          overQueries(tile, dp, query, into: at(dk, row: head.keyRow, head: tile.head), alpha: form.scale)
        }
      }
    }
  }
}
