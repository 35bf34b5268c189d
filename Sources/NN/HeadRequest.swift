/// What a task wants of a classifier's head.
public struct HeadRequest: Sendable, Equatable {
  /// Label names by number; nil for those of the checkpoint.
  public var labels: [String]?
  /// nil for what the checkpoint says.
  public var problem: ClassifierHead.Problem?
  /// Of the values of a head that the checkpoint lacks.
  public var seed: UInt64

  /// Whether the model is to name masked tokens instead of scoring labels.
  public var namesMaskedTokens: Bool
  /// Whether a head for another number of labels gives way to random values (HF `ignore_mismatched_sizes`); otherwise it is an
  /// error.
  public var replacesOtherSize: Bool

  public init(
    labels: [String]? = nil, problem: ClassifierHead.Problem? = nil, seed: UInt64 = 42, namesMaskedTokens: Bool = false,
    replacesOtherSize: Bool = false
  ) {
    self.namesMaskedTokens = namesMaskedTokens
    self.labels = labels
    self.problem = problem
    self.seed = seed
    self.replacesOtherSize = replacesOtherSize
  }
}
