/// What a task wants of a classifier's head.
public struct HeadRequest: Sendable, Equatable {
  /// Label names by number; nil for those of the checkpoint.
  public var labels: [String]?
  /// nil for what the checkpoint says.
  public var problem: ClassifierHead.Problem?
  /// Of the values of a head that the checkpoint lacks.
  public var seed: UInt64

  public init(labels: [String]? = nil, problem: ClassifierHead.Problem? = nil, seed: UInt64 = 42) {
    self.labels = labels
    self.problem = problem
    self.seed = seed
  }
}
