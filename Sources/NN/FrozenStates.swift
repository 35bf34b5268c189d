import TensorCore

/// What the leading stages of a model gave for the examples of a leaf; a pass that has it goes on from there.
///
/// Stages are those of `LanguageModel.frozenDepth`.
public struct FrozenStates: Sendable {
  /// Stages that are done.
  public let depth: Int
  /// `[n, D]`, the examples of the leaf end to end.
  public let states: Tensor

  public init(depth: Int, states: Tensor) {
    self.depth = depth
    self.states = states
  }
}
