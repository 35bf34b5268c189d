import TensorCore

/// Which examples train and which judge: a pure function of (count, fraction, seed).
///
/// Example i is for validation if its number u(i) in [0, 1) is below `fraction`; adding examples at the end
/// moves no other example.
public struct ValidationSplit: Sendable, Equatable {
  /// Indices into the data, ascending.
  public let train: [Int]
  public let validation: [Int]

  /// - Parameter fraction: expected share of validation examples, in [0, 1).
  public init(count: Int, fraction: Double, seed: UInt64) {
    precondition(fraction >= 0 && fraction < 1, "validation fraction \(fraction) is outside [0, 1)")
    let generator = CounterGenerator(seed: seed, purpose: .split)
    var train: [Int] = []
    var validation: [Int] = []
    for index in 0..<count {
      if generator.uniform(at: UInt64(index)) < fraction {
        validation.append(index)
      } else {
        train.append(index)
      }
    }
    self.train = train
    self.validation = validation
  }
}
