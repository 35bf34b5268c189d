import Autograd

/// The stacks of a model whose input a method may extend; a model that has only one names what it is.
public enum Stack: Sendable {
  case encoder
  case decoder
}

/// The kinds of attention whose keys and values a method may extend.
public enum AttentionKind: Sendable {
  case encoderSelf
  case decoderSelf
  case cross
}

/// The four places where a model asks whether a method has something to add. Nil means no: the seam is the identity.
///
/// A model file contains no word of any method; a method answers only the seams it is about.
public protocol Seams {
  /// Instead of the plain projection of `x [n, in]`, packed as `layout`, by `layer`.
  func linear(_ layer: Linear, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable?
  /// Whether `linear` would answer for this projection.
  func adapts(_ layer: Linear) -> Bool
  /// After the token embedding `[n, D]` of a stack: the embeddings and layout the stack goes on with.
  func inputEmbeddings(
    _ stack: Stack, _ embedded: Variable, _ layout: PackedLayout, _ pass: ForwardPass
  ) -> (Variable, PackedLayout)?
  /// Keys and values `[P, H*K]` in front of those of a layer.
  func keyValuePrefix(layer: Int, _ kind: AttentionKind, _ pass: ForwardPass) -> (keys: Variable, values: Variable)?
  /// Whether `sublayerOutput` would answer for this sub-layer.
  func adapts(sublayer path: String) -> Bool
  /// Instead of the output of a sub-layer, after dropout, before it is added to its residual input.
  ///
  /// - Parameter norm: the norm that follows the residual addition, in models that have it there (BERT).
  func sublayerOutput(
    path: String, _ output: Variable, residual: Variable, norm: ((Variable) -> Variable)?, _ pass: ForwardPass
  ) -> Variable?
}

extension Seams {
  public func linear(_ layer: Linear, _ x: Variable, _ layout: PackedLayout, _ pass: ForwardPass) -> Variable? { nil }
  public func adapts(_ layer: Linear) -> Bool { false }
  public func adapts(sublayer path: String) -> Bool { false }
  public func inputEmbeddings(
    _ stack: Stack, _ embedded: Variable, _ layout: PackedLayout, _ pass: ForwardPass
  ) -> (Variable, PackedLayout)? { nil }
  public func keyValuePrefix(
    layer: Int, _ kind: AttentionKind, _ pass: ForwardPass
  ) -> (keys: Variable, values: Variable)? { nil }
  public func sublayerOutput(
    path: String, _ output: Variable, residual: Variable, norm: ((Variable) -> Variable)?, _ pass: ForwardPass
  ) -> Variable? { nil }
}

/// No method attached.
public struct NoSeams: Seams {
  public init() {}
}
