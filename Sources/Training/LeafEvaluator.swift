import Autograd
import NN
import TensorCore

/// Evaluates leaves: forward and backward from start to end on the calling thread.
///
/// What a leaf yields depends on the leaf, the sites and the step alone, so any thread of any rank may do it.
public struct LeafEvaluator: Sendable {
  public let model: any LanguageModel
  public let method: any PEFTMethod
  /// Frozen projections in bfloat16; nil for fp32.
  public let packed: PackedWeights?
  /// Layers that need be computed only once for each example; nil where there are none, or that is not wanted.
  public internal(set) var frozen: FrozenLayers?

  public init(
    model: any LanguageModel, method: any PEFTMethod, packed: PackedWeights? = nil, frozen: FrozenLayers? = nil
  ) {
    self.packed = packed
    self.frozen = frozen
    self.model = model
    self.method = method
  }

  /// Loss and gradients of one leaf.
  public struct Result {
    /// Sum of the token losses.
    public let lossSum: Double
    /// Gradient of `gradientScale * lossSum` at each site; nil where none flowed.
    public let gradients: [Tensor?]
  }

  /// - Parameters:
  ///   - sites: the method's site tensors of this step.
  ///   - gradientScale: loss scale ÷ target tokens of the global batch.
  public func gradients(
    _ batch: LeafBatch, sites: [Tensor], gradientScale: Float, dropout: DropoutPolicy?, pool: BufferPool
  ) -> Result {
    precondition(frozen == nil || dropout?.rate ?? 0 == 0, "layers with dropout do not give the same twice")
    let tape = Tape(pool: pool)
    let variables = sites.map(tape.variable)
    let pass = method.pass(
      tape: tape, sites: variables, dropout: dropout, packed: packed,
      frozen: frozenStates(batch, sites: sites, pool: pool))
    let lossSum = model.lossSum(batch, pass, gradientScale: gradientScale)
    tape.backward()
    return Result(lossSum: lossSum, gradients: variables.map(\.gradient))
  }

  /// A pass that records nothing, for evaluation and generation.
  public func inferencePass(sites: [Tensor], pool: BufferPool) -> ForwardPass {
    method.pass(
      tape: Tape(pool: pool, recordsGradients: false), sites: sites.map { Variable(constant: $0) }, packed: packed)
  }

  /// The sites of the method's present parameters.
  public func sites(pool: BufferPool) -> [Tensor] {
    let tape = Tape(pool: pool, recordsGradients: false)
    return method.materialise(method.parameters.map { Variable(constant: $0.value) }, tape).map(\.value)
  }
}
