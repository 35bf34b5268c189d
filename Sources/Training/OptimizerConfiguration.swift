/// Which optimizer, and its constants; the defaults are those of PyTorch and, for Adafactor, of Hugging Face.
public struct OptimizerConfiguration: Sendable, Codable, Equatable {
  public enum Kind: String, Sendable, Codable, CaseIterable {
    /// Adam with decoupled weight decay.
    case adamw
    /// Adam with weight decay added to the gradient.
    case adam
    case sgd
    case adafactor
  }

  public struct Adafactor: Sendable, Codable, Equatable {
    /// The rate is min(1e-2, 1/sqrt(t)) instead of the one given.
    public var relativeStep = false
    /// The rate is multiplied by the root mean square of the tensor (at least `epsilon2`).
    public var scaleParameter = false
    /// With `relativeStep`: 1e-6 t in place of 1e-2.
    public var warmupInit = false
    /// Largest root mean square of an update before the rate.
    public var clipThreshold = 1.0
    /// The mean of squares decays by 1 - t^decayRate.
    public var decayRate = -0.8
    /// Decay of the mean of updates; nil for none.
    public var beta1: Double?
    /// Added to squared gradients.
    public var epsilon1 = 1e-30
    /// Least root mean square of a tensor for `scaleParameter`.
    public var epsilon2 = 1e-3

    public init() {}
  }

  public var kind = Kind.adamw
  /// Applied to the tensors that are to decay; `makeOptimizer` takes the value of each tensor.
  public var weightDecay = 0.01
  /// Adam: decay of the mean of gradients.
  public var beta1 = 0.9
  /// Adam: decay of the mean of squared gradients.
  public var beta2 = 0.999
  /// Adam: added to the root of the mean of squares.
  public var epsilon = 1e-8
  /// SGD.
  public var momentum = 0.0
  public var dampening = 0.0
  public var nesterov = false
  public var adafactor = Adafactor()

  public init(kind: Kind = .adamw, weightDecay: Double = 0.01) {
    self.kind = kind
    self.weightDecay = weightDecay
  }

  /// - Throws: `OptimizerError.badOption` for the first value out of its range.
  public func validate() throws {
    func check(_ name: String, _ value: Double, _ expected: String, _ holds: Bool) throws {
      guard holds else { throw OptimizerError.badOption(name: name, expected: expected, found: "\(value)") }
    }
    try check("weightDecay", weightDecay, "a number >= 0", weightDecay >= 0 && weightDecay.isFinite)
    switch kind {
    case .adamw, .adam:
      try check("beta1", beta1, "0 <= beta1 < 1", (0..<1).contains(beta1))
      try check("beta2", beta2, "0 <= beta2 < 1", (0..<1).contains(beta2))
      try check("epsilon", epsilon, "a number >= 0", epsilon >= 0 && epsilon.isFinite)
    case .sgd:
      try check("momentum", momentum, "a number >= 0", momentum >= 0 && momentum.isFinite)
      let plain = momentum > 0 && dampening == 0
      try check("nesterov with momentum", momentum, "momentum > 0 and dampening 0", !nesterov || plain)
    case .adafactor:
      try check("clipThreshold", adafactor.clipThreshold, "a number > 0", adafactor.clipThreshold > 0)
      try check("decayRate", adafactor.decayRate, "a number <= 0", adafactor.decayRate <= 0)
      let beta1 = adafactor.beta1 ?? 0
      try check("adafactor beta1", beta1, "0 <= beta1 < 1", (0..<1).contains(beta1))
      guard adafactor.relativeStep || !adafactor.warmupInit else {
        throw OptimizerError.badOption(name: "warmupInit", expected: "relativeStep with it", found: "none")
      }
    }
  }
}
