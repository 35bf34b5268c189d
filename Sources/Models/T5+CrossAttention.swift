import Autograd
import NN

extension T5 {
  /// What a cross-attention looks at.
  enum CrossMemory {
    /// Keys and values of the encoder's states.
    case projected(k: Variable, v: Variable, layout: PackedLayout)
    /// The encoder's states themselves, the projections to be absorbed into the queries and contexts.
    case states(Variable, layout: PackedLayout)
    /// The one for some sequences, the other for the rest, both of them over the layout of all.
    indirect case divided(states: CrossMemory, few: [Int], projected: CrossMemory, many: [Int])
  }

  /// The memory of `attention` for at most so many queries of each sequence.
  ///
  /// With few queries it costs less to project them than every source token (`absorbedAttention`). Chosen for each sequence by
  /// its own queries, and only where both projections are frozen and no method answers them.
  func memory(
    of attention: T5Attention, states: Variable, _ layout: PackedLayout, queryCounts: [Int], _ pass: ForwardPass
  ) -> CrossMemory {
    let isAdapted =
      [attention.k, attention.v].contains { pass.seams.adapts($0) || pass.variable($0.weight).needsGradient }
      || pass.seams.keyValuePrefix(layer: attention.layer, .cross, pass) != nil
    let few = queryCounts.indices.filter {
      !isAdapted && queryCounts[$0] * configuration.headCount < configuration.hiddenSize
    }
    let absorbed = CrossMemory.states(states, layout: layout)
    if few.count == queryCounts.count, !isAdapted { return absorbed }
    let projected = CrossMemory.projected(
      k: attention.k(states, layout, pass), v: attention.v(states, layout, pass), layout: layout)
    guard !few.isEmpty else { return projected }
    let many = Set(queryCounts.indices).subtracting(few).sorted()
    return .divided(states: absorbed, few: few, projected: projected, many: many)
  }

  /// The context `[queries, H*K]` of cross-attention, before the output projection.
  func context(
    _ attention: T5Attention, q: Variable, _ layout: PackedLayout, _ memory: CrossMemory, _ pass: ForwardPass
  ) -> Variable {
    switch memory {
    case .states(let states, let keys):
      return pass.tape.absorbedAttention(
        q: q, states: states, keyWeight: pass.variable(attention.k.weight),
        valueWeight: pass.variable(attention.v.weight), queries: layout, keys: keys, form: form(causal: false, pass))
    case .projected(let k, let v, let keys):
      return attend(attention, q: q, k: k, v: v, layout, keys, bias: { _ in nil }, pass)
    case .divided(let states, let few, let projected, let many):
      let rest = layout.part(many)
      return pass.tape.replacingRows(
        of: context(attention, q: q, layout.part(few), states.sequences(few), pass), rest,
        by: context(attention, q: q, rest, projected.sequences(many), pass))
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
    switch self {
    case .projected(let k, let v, let layout): return .projected(k: k, v: v, layout: layout.part(active))
    case .states(let states, let layout): return .states(states, layout: layout.part(active))
    case .divided: preconditionFailure("a memory that is divided is read as a whole")
    }
  }
}
