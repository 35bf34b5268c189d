import Autograd
import TensorCore

/// Dropout of one step: on, with its rate and its random numbers, or absent.
public struct DropoutPolicy: Sendable {
  public let rate: Float
  public let seed: UInt64
  public let step: Int

  public init(rate: Float, seed: UInt64, step: Int) {
    self.rate = rate
    self.seed = seed
    self.step = step
  }

  func generator(site: UInt32) -> CounterGenerator {
    CounterGenerator(seed: seed, purpose: .dropout, step: UInt64(step), site: site)
  }
}

/// The passage of one leaf through a model: its tape, the method's seams, the trained tensors, the dropout sites.
///
/// Dropout sites are numbered in the order in which the model reaches them, which is the same for every leaf.
public final class ForwardPass {
  public let tape: Tape
  public let seams: any Seams
  /// Frozen projections in the tape's precision.
  public let weights: FrozenWeights
  /// Where the model starts instead of at the source; nil for its beginning.
  public let frozen: FrozenStates?
  /// Looks for the first value that is not finite; nil in training.
  public var watch: OverflowWatch?
  private let dropout: DropoutPolicy?
  private let substitutes: [ObjectIdentifier: Variable]
  private var nextSite: UInt32 = 0

  /// - Parameter substitutes: variables that stand in for parameters of the base model: trained copies.
  public init(
    tape: Tape, seams: any Seams = NoSeams(), substitutes: [ObjectIdentifier: Variable] = [:],
    dropout: DropoutPolicy? = nil, weights: FrozenWeights = .fp32, frozen: FrozenStates? = nil
  ) {
    self.weights = weights
    self.frozen = frozen
    self.tape = tape
    self.seams = seams
    self.substitutes = substitutes
    self.dropout = dropout.flatMap { $0.rate > 0 ? $0 : nil }
  }

  /// The value of a base parameter: its trained stand-in if it has one, otherwise the frozen tensor.
  public func variable(_ parameter: Parameter) -> Variable {
    substitutes[ObjectIdentifier(parameter)] ?? Variable(constant: parameter.value)
  }

  /// A base parameter in the tape's precision; nil if it has no such form.
  public func frozen(_ parameter: Parameter) -> FrozenProjection? { weights.projection(parameter) }

  /// The mask of the next dropout site over packed rows; nil if dropout is off.
  public func dropoutMask(_ layout: PackedLayout, rate: Float? = nil) -> DropoutMask? {
    guard let site = nextDropoutSite(rate: rate) else { return nil }
    return DropoutMask(rate: site.rate, generator: site.generator, layout: layout)
  }

  /// The next dropout site itself, for attention probabilities; nil if dropout is off.
  public func attentionDropout() -> (rate: Float, generator: CounterGenerator)? { nextDropoutSite(rate: nil) }

  private func nextDropoutSite(rate: Float?) -> (rate: Float, generator: CounterGenerator)? {
    guard let dropout else { return nil }
    nextSite += 1
    return (rate ?? dropout.rate, dropout.generator(site: nextSite))
  }
}
