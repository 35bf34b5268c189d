import Autograd
import NN
import TensorCore

/// The leading layers of a model that a method leaves as they are, without dropout: what they give for an example never
/// changes, so it need be computed only once.
///
/// An example goes through them alone, not with the others of its leaf, cached or not: so the bytes of its states depend on
/// the example only, and a run with a cache equals one without.
public struct FrozenLayers: Sendable {
  /// Stages of `LanguageModel.frozenDepth`.
  public let depth: Int
  public let precision: StatePrecision
  /// Where states are kept; nil if they are computed each time.
  public internal(set) var cache: ActivationCache?

  /// Nil where the first layer is trained already.
  public init?(_ model: any LanguageModel, _ method: any PEFTMethod, precision: StatePrecision) {
    let tape = Tape(pool: BufferPool())
    let sites = method.materialise(method.parameters.map { tape.variable($0.value) }, tape)
    depth = model.frozenDepth(method.pass(tape: tape, sites: sites.map { tape.variable($0.value) }))
    guard depth > 0 else { return nil }
    self.precision = precision
    cache = nil
  }

  /// Share of the layers on the source's side that work in every step: what a source token counts for when leaves are made.
  ///
  /// At least a sixth: leaves then hold so many examples that their work is about twice that of reading the weights of a
  /// small decoder once (measured on T5-small), and still are several in a batch.
  public static func remainingShare(_ layers: FrozenLayers?, of model: ModelDescription) -> Double {
    guard let layers else { return 1 }
    return max(1 / 6, 1 - Double(min(layers.depth, model.layerCount)) / Double(model.layerCount))
  }
}

extension LeafEvaluator {
  /// What the frozen layers give for a leaf, from the cache or computed; nil where there are none.
  func frozenStates(_ batch: LeafBatch, sites: [Tensor], pool: BufferPool) -> FrozenStates? {
    guard let frozen else { return nil }
    let all = Tensor([batch.sourceTokenCount, model.description.hiddenSize], in: pool)
    var row = 0
    for (example, source) in zip(batch.examples, batch.sources) {
      let own = all.rows(row..<row + source.count)
      row += source.count
      let isKept = frozen.cache?.read(Int(example), into: own) { states(of: source, frozen, sites: sites, pool: pool) }
      guard isKept != true else { continue }
      own.copyElements(from: states(of: source, frozen, sites: sites, pool: pool))
      frozen.precision.round(own, in: pool)
    }
    return FrozenStates(depth: frozen.depth, states: all)
  }

  /// Computes what the cache lacks of one example, unless somebody is at it.
  func fill(example: UInt32, source: [Int32], sites: [Tensor], pool: BufferPool) {
    guard let frozen else { return }
    frozen.cache?.fill(Int(example)) { states(of: source, frozen, sites: sites, pool: pool) }
  }

  private func states(of source: [Int32], _ frozen: FrozenLayers, sites: [Tensor], pool: BufferPool) -> Tensor {
    model.frozenStates(source: source, depth: frozen.depth, inferencePass(sites: sites, pool: pool))
  }
}
