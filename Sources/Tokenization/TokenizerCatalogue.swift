import Foundation

/// The families of tokenizers there are: one line each, with the kinds of models whose own they are, and their classes.
public enum TokenizerCatalogue {
  private struct Entry: Sendable {
    /// `model_type` of a model's `config.json`.
    let types: [String]
    /// `tokenizer_class`, without "Fast".
    let classes: [String]
    let load: @Sendable (URL) throws -> any Tokenizer
  }

  private static let entries = [
    Entry(types: ["t5", "mt5"], classes: ["T5Tokenizer", "MT5Tokenizer"], load: { try T5Tokenizer(folder: $0) }),
    Entry(types: ["gpt2"], classes: ["GPT2Tokenizer"], load: { try ByteLevelTokenizer(folder: $0, family: .gpt2) }),
    Entry(
      types: ["roberta"], classes: ["RobertaTokenizer", "BartTokenizer", "LongformerTokenizer"],
      load: { try ByteLevelTokenizer(folder: $0, family: .roberta) }),
    Entry(
      types: ["bert"], classes: ["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"],
      load: { try BertTokenizer(folder: $0) }),
  ]

  public static var modelTypes: [String] { entries.flatMap(\.types) }

  /// The tokenizer in `folder`: of the class that its files name, by default that of a model of type `modelType`.
  ///
  /// - Throws: `TokenizationError`; `.unknownFamily` for a type that is not in the catalogue.
  public static func load(folder: URL, modelType: String) throws -> any Tokenizer {
    guard let own = entries.first(where: { $0.types.contains(modelType) }) else {
      throw TokenizationError.unknownFamily(modelType: modelType, folder: folder, known: modelTypes)
    }
    guard let declared = try TokenizerClass.declared(in: folder) else { return try own.load(folder) }
    if let named = entries.first(where: { $0.classes.contains(declared.name) }) { return try named.load(folder) }
    guard TokenizerClass.followFile.contains(declared.name) else {
      throw TokenizationError.badConfiguration(
        declared.url,
        reason: "tokenizer_class: \"\(declared.name)\" is not supported; known are "
          + (entries.flatMap(\.classes) + TokenizerClass.followFile).joined(separator: ", "))
    }
    return try (ofFile(in: folder) ?? own).load(folder)
  }

  /// The family whose rules those of `tokenizer.json` may be, by the model in it; nil without such a file.
  private static func ofFile(in folder: URL) throws -> Entry? {
    let url = TokenizerSettings.tokenizerJSON(in: folder)
    guard let json = try ByteJSON.object(at: url) else { return nil }
    let type =
      switch json["model"]?["type"]?.text {
      case "Unigram": "t5"
      case "WordPiece": "bert"
      default: TokenizerRules.isLikeRoBERTa(json) ? "roberta" : "gpt2"
      }
    return entries.first { $0.types.contains(type) }
  }
}
