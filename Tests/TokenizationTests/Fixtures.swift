import Foundation

@testable import Tokenization

enum Fixtures {
  static let goldens = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Goldens/tokenizers")
  static let t5 = goldens.appendingPathComponent("t5")

  static func tokenizer() throws -> T5Tokenizer { try T5Tokenizer(folder: t5) }

  /// Runs `body` with a folder that holds the golden `spiece.model` and the given text files.
  @discardableResult static func withFolder<Result>(
    _ files: [String: String] = [:], _ body: (URL) throws -> Result
  ) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "tokenizer-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.copyItem(
      at: t5.appendingPathComponent("spiece.model"), to: folder.appendingPathComponent("spiece.model"))
    for (name, text) in files {
      try Data(text.utf8).write(to: folder.appendingPathComponent(name))
    }
    return try body(folder)
  }
}
