import Autograd
import TensorCore

/// Dropout of one step: on, with its rate and its random numbers, or absent.
public struct DropoutPolicy: Sendable {
  public let rates: DropoutRates
  public let seed: UInt64
  public let step: Int

  /// One rate at all places.
  public init(rate: Float, seed: UInt64, step: Int) { self.init(rates: DropoutRates(rate), seed: seed, step: step) }

  public init(rates: DropoutRates, seed: UInt64, step: Int) {
    self.rates = rates
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
    dropout: DropoutPolicy? = nil, weights: FrozenWeights = .plain, frozen: FrozenStates? = nil
  ) {
    self.weights = weights
    self.frozen = frozen
    self.tape = tape
    self.seams = seams
    self.substitutes = substitutes
    self.dropout = dropout
  }

  /// The value of a base parameter: its trained stand-in if it has one, otherwise the frozen tensor.
  public func variable(_ parameter: Parameter) -> Variable {
    substitutes[ObjectIdentifier(parameter)] ?? Variable(constant: parameter.value)
  }

  /// A base parameter in the tape's precision; nil if it has no such form, or a trained copy stands in for it.
  public func frozen(_ parameter: Parameter) -> FrozenProjection? {
    isSubstituted(parameter) ? nil : weights.projection(parameter)
  }

  /// Whether a trained copy stands in for this parameter.
  public func isSubstituted(_ parameter: Parameter) -> Bool { substitutes[ObjectIdentifier(parameter)] != nil }

  /// The mask of the next dropout site over packed rows; nil if dropout is off.
  ///
  /// - Parameters:
  ///   - place: where in the model it is.
  ///   - rate: a method's own; nil for that of the place.
  public func dropoutMask(
    _ layout: PackedLayout, at place: DropoutRates.Place = .hidden, rate: Float? = nil
  ) -> DropoutMask? {
    guard let site = nextDropoutSite(place, rate: rate) else { return nil }
    return DropoutMask(rate: site.rate, generator: site.generator, layout: layout)
  }

  /// The next dropout site itself, for attention probabilities; nil if dropout is off.
  public func attentionDropout() -> (rate: Float, generator: CounterGenerator)? { nextDropoutSite(.attention) }

  private func nextDropoutSite(
    _ place: DropoutRates.Place, rate: Float? = nil
  ) -> (rate: Float, generator: CounterGenerator)? {
    guard let dropout, case let rate = rate ?? dropout.rates[place], rate > 0 else { return nil }
    nextSite += 1
    return (rate, dropout.generator(site: nextSite))
  }

  /// The end of a sub-layer with a residual connection: dropout, the method's word, residual.
  ///
  /// - Parameter norm: the norm that follows the addition, in models that have it there.
  public func add(
    _ output: Variable, to x: Variable, path: String, _ layout: PackedLayout, norm: ((Variable) -> Variable)? = nil
  ) -> Variable {
    let mask = dropoutMask(layout)
    let sum: Variable
    if seams.adapts(sublayer: path) {
      let dropped = tape.dropout(output, mask)
      sum = tape.residual(
        x, adding: seams.sublayerOutput(path: path, dropped, residual: x, norm: norm, self) ?? dropped)
    } else {
      sum = tape.residual(x, adding: output, mask)
    }
    return norm.map { $0(sum) } ?? sum
  }
}
