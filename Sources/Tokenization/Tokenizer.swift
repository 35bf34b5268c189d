/// Text to ids and back, as Hugging Face does it for the same files.
///
/// A tokenizer is immutable and may be used from several threads at once.
public protocol Tokenizer: Sendable {
  /// Ids of `text` with the special tokens that Hugging Face adds (T5: end-of-sequence last).
  func encode(_ text: String) -> [Int32]
  /// Text of `ids`; ids outside the vocabulary print as nothing.
  func decode(_ ids: [Int32], skippingSpecialTokens: Bool) -> String
  /// Number of ids, special tokens included.
  var vocabularyCount: Int { get }
  var padID: Int32 { get }
  var eosID: Int32 { get }
  var unknownID: Int32 { get }
  /// A digest of everything the ids depend on, for the keys of caches: 32 hexadecimal digits.
  var identity: String { get }
}
