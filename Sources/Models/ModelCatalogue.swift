import Checkpoints
import Foundation
import NN

/// The model families there are: one line each.
public enum ModelCatalogue {
  private typealias Loader = @Sendable (ModelFolder, HeadRequest) throws -> any LanguageModel
  private static let entries: [(types: [String], kind: ModelKind, load: Loader)] = [
    (["t5", "mt5"], .encoderDecoder, { folder, _ in try T5(folder) }),
    (["gpt2"], .decoder, { folder, _ in try GPT2(folder) }),
    (
      ["bert", "roberta"], .classifier,
      { folder, head in
        if head.namesMaskedTokens { return try MaskedBERT(folder) }
        return try BERT(folder, head: head)
      }
    ),
  ]

  public static var modelTypes: [String] { entries.flatMap(\.types) }

  /// The model in a Hugging Face folder, its weights mapped or widened to fp32.
  ///
  /// - Parameter head: what the task wants of a classifier.
  /// - Throws: `CheckpointError`.
  public static func load(_ folder: ModelFolder, head: HeadRequest = HeadRequest()) throws -> any LanguageModel {
    try entry(folder).load(folder, head)
  }

  /// What the model in a folder does, from its configuration alone.
  ///
  /// - Throws: `CheckpointError`.
  public static func kind(of folder: ModelFolder) throws -> ModelKind { try entry(folder).kind }

  private static func entry(_ folder: ModelFolder) throws -> (types: [String], kind: ModelKind, load: Loader) {
    if let entry = entries.first(where: { $0.types.contains(folder.modelType ?? "") }) { return entry }
    throw CheckpointError.wrongModelType(
      path: folder.url.appendingPathComponent("config.json").path, expected: modelTypes,
      found: folder.modelType.map { "'\($0)'" } ?? "nothing")
  }
}
