/// Dropout rates of a model: what its `config.json` says for each kind of place, or one rate for all of them.
public struct DropoutRates: Sendable, Equatable, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral,
  CustomStringConvertible
{
  /// Kinds of places.
  public enum Place: Sendable {
    /// Outputs of sub-layers, and wherever a model makes no difference.
    case hidden
    /// The sum of the embeddings.
    case embedding
    /// Attention probabilities.
    case attention
    /// In front of a classifier's projections.
    case head
  }

  public let hidden: Float
  public let embedding: Float
  public let attention: Float
  public let head: Float

  /// - Parameter head: as `hidden` unless given.
  public init(hidden: Float, embedding: Float, attention: Float, head: Float? = nil) {
    self.hidden = hidden
    self.embedding = embedding
    self.attention = attention
    self.head = head ?? hidden
  }

  public init(_ rate: Float) { self.init(hidden: rate, embedding: rate, attention: rate) }

  public init(floatLiteral rate: Float) { self.init(rate) }
  public init(integerLiteral rate: Int) { self.init(Float(rate)) }

  public subscript(_ place: Place) -> Float {
    switch place {
    case .hidden: hidden
    case .embedding: embedding
    case .attention: attention
    case .head: head
    }
  }

  /// The one rate of all places; nil where they differ.
  public var common: Float? { self == DropoutRates(hidden) ? hidden : nil }
  public var largest: Float { max(hidden, embedding, attention, head) }

  /// `0.1`, or `0.1 (attention 0.0, embedding 0.1, head 0.2)`.
  public var description: String {
    common.map { "\($0)" } ?? "\(hidden) (embeddings \(embedding), attention \(attention), head \(head))"
  }
}
