import Autograd
import NN

extension T5 {
  /// What a cross-attention looks at.
  enum CrossMemory {
    /// Keys and values of the encoder's states.
    case projected(k: Variable, v: Variable, layout: PackedLayout)
    /// The encoder's states themselves, the projections to be absorbed into the queries and contexts.
    case states(Variable, layout: PackedLayout)
  }

  /// The memory of `attention` for at most `queryCount` queries of a sequence.
  ///
  /// With few queries it costs less to project them than every source token (`absorbedAttention`). Chosen from shapes, and
  /// only where both projections are frozen and no method answers them.
  func memory(
    of attention: T5Attention, states: Variable, _ layout: PackedLayout, queryCount: Int, _ pass: ForwardPass
  ) -> CrossMemory {
    let isAdapted =
      [attention.k, attention.v].contains { pass.seams.adapts($0) || pass.variable($0.weight).needsGradient }
      || pass.seams.keyValuePrefix(layer: attention.layer, .cross, pass) != nil
    if !isAdapted, queryCount * configuration.headCount < configuration.hiddenSize {
      return .states(states, layout: layout)
    }
    return .projected(
      k: attention.k(states, layout, pass), v: attention.v(states, layout, pass), layout: layout)
  }

  /// The context `[queries, H*K]` of cross-attention, before the output projection.
  func context(
    _ attention: T5Attention, q: Variable, _ layout: PackedLayout, _ memory: CrossMemory, _ pass: ForwardPass
  ) -> Variable {
    switch memory {
    case .states(let states, let keys):
      return pass.tape.absorbedAttention(
        q: q, states: states, keyWeight: pass.variable(attention.k.weight),
        valueWeight: pass.variable(attention.v.weight), frozenKey: pass.frozen(attention.k.weight),
        frozenValue: pass.frozen(attention.v.weight), queries: layout, keys: keys, form: form(causal: false, pass))
    case .projected(let k, let v, let keys):
      return attend(attention, q: q, k: k, v: v, layout, keys, bias: { _ in nil }, pass)
    }
  }

  func crossAttend(
    _ attention: T5Attention, _ x: Variable, _ layout: PackedLayout, _ memory: CrossMemory, _ pass: ForwardPass
  ) -> Variable {
    let normed = pass.tape.rmsNorm(
      x, weight: pass.variable(attention.norm), epsilon: configuration.normEpsilon)
    let context = context(attention, q: attention.q(normed, layout, pass), layout, memory, pass)
    return pass.add(attention.o(context, layout, pass), to: x, path: attention.path, layout)
  }
}

extension T5.CrossMemory {
  /// The part of it that belongs to these sequences.
  func sequences(_ active: [Int]) -> T5.CrossMemory {
    func part(_ layout: PackedLayout) -> PackedLayout {
      PackedLayout(
        starts: active.map { layout.starts[$0] }, lengths: active.map { layout.lengths[$0] },
        examples: active.map { layout.examples[$0] })
    }
    switch self {
    case .projected(let k, let v, let layout): return .projected(k: k, v: v, layout: part(layout))
    case .states(let states, let layout): return .states(states, layout: part(layout))
    }
  }
}
