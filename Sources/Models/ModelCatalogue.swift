import Checkpoints
import Foundation
import NN

/// The model families there are: one line each.
public enum ModelCatalogue {
  private static let entries: [(types: [String], load: @Sendable (ModelFolder) throws -> any LanguageModel)] = [
    (["t5", "mt5"], { try T5($0) })
  ]

  public static var modelTypes: [String] { entries.flatMap(\.types) }

  /// The model in a Hugging Face folder, its weights mapped or widened to fp32.
  ///
  /// - Throws: `CheckpointError`.
  public static func load(_ folder: ModelFolder) throws -> any LanguageModel {
    guard let entry = entries.first(where: { $0.types.contains(folder.modelType ?? "") }) else {
      throw CheckpointError.wrongModelType(
        path: folder.url.appendingPathComponent("config.json").path, expected: modelTypes,
        found: folder.modelType.map { "'\($0)'" } ?? "nothing")
    }
    return try entry.load(folder)
  }
}
