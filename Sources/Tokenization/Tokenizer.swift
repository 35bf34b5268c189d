import Foundation

/// Text to ids and back, as Hugging Face does it for the same files.
///
/// A tokenizer is immutable and may be used from several threads at once.
public protocol Tokenizer: Sendable {
  /// Ids of `text` alone: no special token but those written out in it.
  func tokens(of text: String) -> [Int32]
  /// One sequence, or a pair of them, with the special tokens that Hugging Face puts around them.
  func assemble(_ first: [Int32], _ second: [Int32]?) -> AssembledTokens
  /// Text of `ids`; ids outside the vocabulary print as nothing.
  func decode(_ ids: [Int32], skippingSpecialTokens: Bool) -> String
  /// Number of ids, special tokens included.
  var vocabularyCount: Int { get }
  var padID: Int32 { get }
  var eosID: Int32 { get }
  var unknownID: Int32 { get }
  /// What stands for a hidden token; nil where the vocabulary has nothing of the kind.
  var maskID: Int32? { get }
  /// Tokens that are no text.
  var specialIDs: Set<Int32> { get }
  /// The file that the ids come from.
  var url: URL { get }
  /// A digest of everything the ids depend on, for the keys of caches: 32 hexadecimal digits.
  var identity: String { get }
}

/// Ids with their special tokens.
public struct AssembledTokens: Sendable, Equatable {
  public let ids: [Int32]
  /// Where the second sequence of a pair begins: from there on the token type is 1 where a model has such types (RoBERTa has
  /// not). The end of a single sequence.
  public let secondStart: Int

  public init(ids: [Int32], secondStart: Int? = nil) {
    self.ids = ids
    self.secondStart = secondStart ?? ids.count
  }
}

extension Tokenizer {
  /// Ids of `text` with the special tokens that Hugging Face adds (T5: end-of-sequence last).
  public func encode(_ text: String) -> [Int32] { assemble(tokens(of: text), nil).ids }

  /// Refuses a model whose embedding cannot belong to this vocabulary.
  ///
  /// More rows than ids are common, as T5's 32,100 ids live in 32,128 rows; more than twice as many are not.
  /// - Throws: `TokenizationError.vocabularyMismatch`.
  public func validate(modelVocabularySize rows: Int) throws {
    guard vocabularyCount <= rows, rows <= 2 * vocabularyCount else {
      throw TokenizationError.vocabularyMismatch(tokenizer: url, ids: vocabularyCount, embeddingRows: rows)
    }
  }

  /// How many special tokens `assemble` adds.
  public func specialTokenCount(isPair: Bool) -> Int { assemble([], isPair ? [] : nil).ids.count }
}
