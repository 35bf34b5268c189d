import CKernels
import TensorCore

extension Tape {
  /// Multi-head attention of few queries over projected states, without projecting the states.
  ///
  /// With keys `K = M Wkᵀ` and values `V = M Wvᵀ` of states M, head by head: `Q Kᵀ = (Q Wk) Mᵀ` and `P V = (P M) Wvᵀ`.
  /// The same sums in another order: exact algebra. It pays where `queries * heads < width of M`, as the weights then meet
  /// the few queries instead of the many states. Neither weight may be trained.
  /// Shapes: q `[queries, H*K]`, states `[n, D]`, Wk and Wv `[H*K, D]`, result as q. Gradient: to q and states. On an fp16
  /// tape q, states, weights and the result are fp16 numbers, everything between them fp32.
  public func absorbedAttention(
    q: Variable, states: Variable, keyWeight: Variable, valueWeight: Variable,
    queries: PackedLayout, keys: PackedLayout,
    form: AttentionForm
  ) -> Variable {
    precondition(
      !keyWeight.needsGradient && !valueWeight.needsGradient && !form.causal,
      "absorbed attention is for frozen projections and full attention")
    let kernel = AbsorbedAttentionKernel(form: form, queries: queries, keys: keys, count: q.value.rows, pool: pool)
    let (q, states) = (operand(q), operand(states))
    // Widened for each pass: a copy in fp32 is not kept in between.
    let weights = { [self] in
      (key: headWeight(keyWeight), value: headWeight(valueWeight))
    }
    let value = allocate(q.shape)
    let saved = kernel.forward(q: q.value, states: states.value, weights: weights(), into: value)
    let output = halfResult(value, of: q, states)
    guard output.needsGradient else { return output }
    let (kept, querySlot, stateSlot) = (keep(states), q.slot, states.slot)
    record(output) { [self] gradient in
      let dq = querySlot.map { allocate($0.shape) }
      let dStates = stateSlot?.accumulator(in: pool)
      kernel.backward(
        saved, states: kept.value(in: pool), weights: weights(), gradient: gradient, dq: dq, dStates: dStates)
      if let dq { querySlot?.add(dq, in: pool) }
    }
    return output
  }

  /// The weight in fp32; of fp16 numbers on an fp16 tape.
  private func headWeight(_ weight: Variable) -> Tensor {
    precision == .fp16 ? rounded(weight.value) : weight.value
  }
}

private struct AbsorbedAttentionKernel {
  /// What the backward pass reads again.
  struct Saved {
    /// `Q Wk` by head, `[H, queries, D]`.
    let absorbed: Tensor
    /// Probabilities `[H * queries of the sequence, keys]`, sequence after sequence, before dropout.
    let probabilities: [Tensor]
  }

  let form: AttentionForm
  let queries: PackedLayout
  let keys: PackedLayout
  /// Rows of all queries, those of no sequence among them.
  let count: Int
  let pool: BufferPool

  private var heads: Int { form.heads }
  private var coversQueries: Bool { queries.tokenCount == count }

  /// Rows of one head in a `[H*K, D]` weight.
  private func head(_ weight: Tensor, _ head: Int, transposed: Bool = false) -> Matrix {
    Matrix(weight.pointer + head * form.headWidth * weight.width, stride: weight.width, transposed: transposed)
  }

  /// Columns of one head in `[queries, H*K]`.
  private func columns(_ tensor: Tensor, _ head: Int) -> Matrix {
    Matrix(tensor.pointer + head * form.headWidth, stride: heads * form.headWidth)
  }

  private func rows(_ tensor: Tensor, sequence: Int) -> Matrix {
    Matrix(tensor.pointer + keys.starts[sequence] * tensor.width, stride: tensor.width)
  }

  /// The rows of one sequence out of `[H, queries, D]`, as `[H * t, D]`; or back.
  private func gather(_ all: Tensor, sequence: Int) -> Tensor {
    let (length, width) = (queries.lengths[sequence], all.width)
    let part = Tensor([heads * length, width], in: pool)
    for head in 0..<heads {
      (part.pointer + head * length * width).update(
        from: all.pointer + (head * count + queries.starts[sequence]) * width, count: length * width)
    }
    return part
  }

  private func scatter(_ part: Tensor, to all: Tensor, sequence: Int) {
    let (length, width) = (queries.lengths[sequence], all.width)
    for head in 0..<heads {
      (all.pointer + (head * count + queries.starts[sequence]) * width).update(
        from: part.pointer + head * length * width, count: length * width)
    }
  }

  /// `y = mask * x / (1 - rate)` over the rows `[H * t, keys]` of one sequence.
  private func dropped(_ x: Tensor, sequence: Int) -> Tensor {
    guard let dropout = form.dropout else { return x }
    let length = queries.lengths[sequence]
    let y = Tensor(x.shape, in: pool)
    let examples = [UInt32](repeating: queries.examples[sequence], count: length)
    let positions = (0..<length).map { UInt32($0) }
    for head in 0..<heads {
      k_dropout(
        x.pointer + head * length * x.width, y.pointer + head * length * x.width, examples, positions, length, x.width,
        x.width, CounterGenerator(parent: dropout.generator, site: UInt32(head)).key, dropout.rate)
    }
    return y
  }

  func forward(q: Tensor, states: Tensor, weights: (key: Tensor, value: Tensor), into output: Tensor) -> Saved {
    let width = states.width
    let absorbed = Tensor([heads, count, width], in: pool)
    for head in 0..<heads {
      multiply(
        columns(q, head), self.head(weights.key, head),
        into: Matrix(absorbed.pointer + head * count * width, stride: width), m: count, n: width, k: form.headWidth)
    }
    let contexts = Tensor([heads, count, width], in: pool)
    if !coversQueries { contexts.fill(0) }
    let probabilities = (0..<queries.sequenceCount).map { sequence -> Tensor in
      let (length, keyCount) = (queries.lengths[sequence], keys.lengths[sequence])
      let own = gather(absorbed, sequence: sequence)
      let p = Tensor([heads * length, keyCount], in: pool)
      let memory = rows(states, sequence: sequence)
      multiply(
        Matrix(own), Matrix(memory.pointer, stride: width, transposed: true), into: Matrix(p), m: heads * length,
        n: keyCount, k: width)
      let logSumExp = Tensor([max(heads * length, 1)], in: pool)
      k_softmax(p.pointer, heads * length, keyCount, keyCount, 0, nil, 0, form.scale, logSumExp.pointer)
      let context = Tensor([heads * length, width], in: pool)
      multiply(
        Matrix(dropped(p, sequence: sequence)), memory, into: Matrix(context), m: heads * length, n: width, k: keyCount)
      scatter(context, to: contexts, sequence: sequence)
      return p
    }
    for head in 0..<heads {
      multiply(
        Matrix(contexts.pointer + head * count * width, stride: width),
        self.head(weights.value, head, transposed: true),
        into: columns(output, head), m: count, n: form.headWidth, k: width)
    }
    return Saved(absorbed: absorbed, probabilities: probabilities)
  }

  /// - Parameter dStates: added to.
  func backward(
    _ saved: Saved, states: Tensor, weights: (key: Tensor, value: Tensor), gradient: Tensor, dq: Tensor?,
    dStates: Tensor?
  ) {
    let width = states.width
    // Gradient at the contexts P M, [H, queries, D].
    let dContexts = Tensor([heads, count, width], in: pool)
    for head in 0..<heads {
      multiply(
        columns(gradient, head), self.head(weights.value, head),
        into: Matrix(dContexts.pointer + head * count * width, stride: width), m: count, n: width, k: form.headWidth)
    }
    let dAbsorbed = Tensor([heads, count, width], in: pool)
    if !coversQueries { dAbsorbed.fill(0) }
    for sequence in 0..<queries.sequenceCount {
      let (length, keyCount) = (queries.lengths[sequence], keys.lengths[sequence])
      let size = heads * length
      let p = saved.probabilities[sequence]
      let memory = rows(states, sequence: sequence)
      let dContext = gather(dContexts, sequence: sequence)
      var dp = Tensor([size, keyCount], in: pool)
      multiply(
        Matrix(dContext), Matrix(memory.pointer, stride: width, transposed: true), into: Matrix(dp), m: size,
        n: keyCount, k: width)
      dp = dropped(dp, sequence: sequence)
      let delta = Tensor([max(size, 1)], in: pool)
      k_row_dots(p.pointer, dp.pointer, delta.pointer, size, keyCount, keyCount, keyCount)
      k_softmax_backward(p.pointer, dp.pointer, delta.pointer, size, keyCount, keyCount)
      let dOwn = Tensor([size, width], in: pool)
      multiply(Matrix(dp), memory, into: Matrix(dOwn), m: size, n: width, k: keyCount, alpha: form.scale)
      scatter(dOwn, to: dAbsorbed, sequence: sequence)
      guard let dStates else { continue }
      let target = rows(dStates, sequence: sequence)
      multiply(
        Matrix(dropped(p, sequence: sequence), transposed: true), Matrix(dContext), into: target, m: keyCount,
        n: width, k: size, adds: true)
      let own = gather(saved.absorbed, sequence: sequence)
      multiply(
        Matrix(dp, transposed: true), Matrix(own), into: target, m: keyCount, n: width, k: size, alpha: form.scale,
        adds: true)
    }
    guard let dq else { return }
    for head in 0..<heads {
      multiply(
        Matrix(dAbsorbed.pointer + head * count * width, stride: width), self.head(weights.key, head, transposed: true),
        into: columns(dq, head), m: count, n: form.headWidth, k: width)
    }
  }
}
