import Foundation

/// The class that a folder names for its tokenizer: in `tokenizer_config.json`, or else in `config.json`.
///
/// Source: transformers `models/auto/tokenization_auto.py`.
struct TokenizerClass {
  /// Without the "Fast" that older names end in.
  let name: String
  /// The file that names it.
  let url: URL

  /// Classes that do what `tokenizer.json` says.
  static let followFile = ["PreTrainedTokenizer", "TokenizersBackend"]

  /// - Returns: nil where both files are silent: then the kind of model decides.
  /// - Throws: `TokenizationError.unreadable`, `.badConfiguration`.
  static func declared(in folder: URL) throws -> TokenizerClass? {
    for file in ["tokenizer_config.json", "config.json"] {
      let url = folder.appendingPathComponent(file)
      guard let value = try ByteJSON.object(at: url)?["tokenizer_class"], value != .null else { continue }
      guard let name = value.text, !name.isEmpty else {
        throw TokenizationError.badConfiguration(
          url, reason: "tokenizer_class: expected the name of a class, found \(value.summary)")
      }
      return TokenizerClass(name: name.hasSuffix("Fast") ? String(name.dropLast(4)) : name, url: url)
    }
    return nil
  }
}
