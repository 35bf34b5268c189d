import Tokenization

/// One example as token ids, end-of-sequence last on both sides.
public struct EncodedExample: Sendable, Equatable {
  /// Place in the data, from 0.
  public let index: Int
  public let source: [Int32]
  public let target: [Int32]
  /// Tokens of the source before it was cut, end-of-sequence included.
  public let uncutSourceLength: Int

  public init(index: Int, source: [Int32], target: [Int32], uncutSourceLength: Int) {
    self.index = index
    self.source = source
    self.target = target
    self.uncutSourceLength = uncutSourceLength
  }
}

/// How long the sides of an example may be, in tokens, end-of-sequence included.
public struct LengthLimits: Sendable, Equatable {
  public let source: Int
  public let target: Int

  public init(source: Int, target: Int) {
    precondition(source >= 1 && target >= 1, "length limits \(source) and \(target)")
    self.source = source
    self.target = target
  }

  /// The first `limit` − 1 ids and the closing one, as Hugging Face truncates.
  static func cut(_ ids: [Int32], to limit: Int) -> [Int32] {
    guard ids.count > limit, let last = ids.last else { return ids }
    return ids.prefix(limit - 1) + [last]
  }

  func encode(_ example: Example, with tokenizer: any Tokenizer) -> EncodedExample {
    let source = tokenizer.encode(example.source)
    return EncodedExample(
      index: example.index, source: Self.cut(source, to: self.source),
      target: Self.cut(tokenizer.encode(example.target), to: target), uncutSourceLength: source.count)
  }
}
