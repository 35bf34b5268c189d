/// One example of a task, as text.
public struct Example: Sendable, Equatable {
  /// Place in the data, from 0.
  public let index: Int
  /// The data's own name for it, or its line number from 1.
  public let id: String
  public let source: String
  public let target: String
  /// Number of the label in the task's `labels`; nil for free text.
  public let label: Int?

  public init(index: Int, id: String, source: String, target: String, label: Int? = nil) {
    self.index = index
    self.id = id
    self.source = source
    self.target = target
    self.label = label
  }
}
