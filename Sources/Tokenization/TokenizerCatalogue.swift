import Foundation

/// The families of tokenizers there are, by the `model_type` of a model's `config.json`: one line each.
public enum TokenizerCatalogue {
  private static let entries: [(types: [String], load: @Sendable (URL) throws -> any Tokenizer)] = [
    (["t5", "mt5"], { try T5Tokenizer(folder: $0) }),
    (["gpt2"], { try ByteLevelTokenizer(folder: $0, family: .gpt2) }),
    (["roberta"], { try ByteLevelTokenizer(folder: $0, family: .roberta) }),
    (["bert"], { try BertTokenizer(folder: $0) }),
  ]

  public static var modelTypes: [String] { entries.flatMap(\.types) }

  /// The tokenizer in `folder`, as a model of type `modelType` needs it.
  ///
  /// - Throws: `TokenizationError`; `.unknownFamily` for a type that is not in the catalogue.
  public static func load(folder: URL, modelType: String) throws -> any Tokenizer {
    guard let entry = entries.first(where: { $0.types.contains(modelType) }) else {
      throw TokenizationError.unknownFamily(modelType: modelType, folder: folder, known: modelTypes)
    }
    return try entry.load(folder)
  }
}
