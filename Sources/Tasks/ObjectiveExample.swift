/// What an objective for pre-training makes of a text: the same for the same tokens, seed, epoch and number of the example,
/// whoever asks.
public struct ObjectiveExample: Sendable, Equatable {
  /// What the model reads.
  public let source: [Int32]
  /// What it is to give. Where it answers position by position, as many as in the source, `ignored` where nothing is asked.
  public let target: [Int32]

  /// The label that is no target, as in PyTorch.
  public static let ignored: Int32 = -100

  public init(source: [Int32], target: [Int32]) {
    self.source = source
    self.target = target
  }
}
