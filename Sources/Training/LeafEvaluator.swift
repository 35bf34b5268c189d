import Autograd
import NN
import TensorCore

/// Evaluates leaves: forward and backward from start to end on the calling thread.
///
/// What a leaf yields depends on the leaf, the sites and the step alone, so any thread of any rank may do it.
public struct LeafEvaluator: Sendable {
  public let model: any LanguageModel
  public let method: any PEFTMethod
  /// Frozen projections in the precision of the run.
  public let weights: FrozenWeights
  /// Layers that need be computed only once for each example; nil where there are none, or that is not wanted.
  public internal(set) var frozen: FrozenLayers?

  public init(
    model: any LanguageModel, method: any PEFTMethod, weights: FrozenWeights = .plain, frozen: FrozenLayers? = nil
  ) {
    self.weights = weights
    self.frozen = frozen
    self.model = model
    self.method = method
  }

  /// Loss and gradients of one leaf.
  public struct Result {
    /// Sum of the token losses.
    /// By example.
    public let losses: [Double]
    public var lossSum: Double { losses.reduce(0, +) }
    /// Gradient of `gradientScale * lossSum` at each site; nil where none flowed.
    public let gradients: [Tensor?]
  }

  /// - Parameters:
  ///   - sites: the method's site tensors of this step.
  ///   - gradientScale: loss scale ÷ target tokens of the global batch.
  public func gradients(
    _ batch: LeafBatch, sites: [Tensor], gradientScale: Float, dropout: DropoutPolicy?, pool: BufferPool
  ) -> Result {
    precondition(frozen == nil || dropout?.rates.largest ?? 0 == 0, "layers with dropout do not give the same twice")
    let tape = Tape(pool: pool, precision: weights.precision)
    let variables = sites.map(tape.variable)
    let pass = method.pass(
      tape: tape, sites: variables, dropout: dropout, weights: weights,
      frozen: frozenStates(batch, sites: sites, pool: pool))
    let losses = model.losses(batch, pass, gradientScale: gradientScale)
    tape.backward()
    return Result(losses: losses, gradients: variables.map(\.gradient))
  }

  /// A pass that records nothing, for evaluation and generation.
  public func inferencePass(sites: [Tensor], pool: BufferPool) -> ForwardPass {
    method.pass(
      tape: Tape(pool: pool, recordsGradients: false, precision: weights.precision),
      sites: sites.map { Variable(constant: $0) }, weights: weights)
  }

  /// Where the forward pass of a leaf first leaves the finite numbers; nil if it does not.
  func firstOverflow(_ batch: LeafBatch, sites: [Tensor], dropout: DropoutPolicy?, pool: BufferPool) -> String? {
    let tape = Tape(pool: pool, recordsGradients: false, precision: weights.precision)
    let pass = method.pass(
      tape: tape, sites: sites.map { Variable(constant: $0) }, dropout: dropout, weights: weights)
    let watch = OverflowWatch()
    pass.watch = watch
    _ = model.losses(batch, pass, gradientScale: 0)
    return watch.first
  }

  /// The sites of the method's present parameters.
  public func sites(pool: BufferPool) -> [Tensor] {
    let tape = Tape(pool: pool, recordsGradients: false)
    return method.materialise(method.parameters.map { Variable(constant: $0.value) }, tape).map(\.value)
  }
}
