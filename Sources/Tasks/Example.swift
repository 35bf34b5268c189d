/// One example of a task, as text.
public struct Example: Sendable, Equatable {
  /// Place in the data, from 0.
  public let index: Int
  /// The data's own name for it, or its line number from 1.
  public let id: String
  public let source: String
  /// The second text of a pair that a classifier reads; nil for a single text.
  public let second: String?
  /// What the model is to answer; for a classifier the label's name.
  public let target: String
  /// All right answers, without the white space that `target` may begin with; the first is the one trained on.
  public let references: [String]
  /// Number of the label in the task's `labels`; nil for free text.
  public let label: Int?
  /// What a regression is to give; nil elsewhere.
  public let value: Float?
  /// A text without a target, of which an ``Objective`` makes both.
  public let isPlainText: Bool
  /// The end of the source that stays when the source is cut, such as ` TL;DR:`.
  public let tail: String

  public init(
    index: Int, id: String, source: String, second: String? = nil, target: String, label: Int? = nil,
    value: Float? = nil, tail: String = "", references: [String]? = nil, isPlainText: Bool = false
  ) {
    self.index = index
    self.id = id
    self.source = source
    self.second = second
    self.target = target
    self.references = references ?? [target]
    self.label = label
    self.value = value
    self.tail = tail
    self.isPlainText = isPlainText
  }
}
