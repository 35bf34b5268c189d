import Foundation

@testable import Tokenization

enum Fixtures {
  static let goldens = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Goldens/tokenizers")
  static let t5 = goldens.appendingPathComponent("t5")

  static let gpt2 = goldens.appendingPathComponent("gpt2")
  static let roberta = goldens.appendingPathComponent("roberta")
  static let bert = goldens.appendingPathComponent("bert")

  static func tokenizer() throws -> T5Tokenizer { try T5Tokenizer(folder: t5) }

  /// Runs `body` with a folder that holds the golden `spiece.model` and the given text files.
  @discardableResult static func withFolder<Result>(
    _ files: [String: String] = [:], _ body: (URL) throws -> Result
  ) throws -> Result {
    try withFolder(["spiece.model"], of: t5, files, body)
  }

  /// Runs `body` with a folder that holds files of a golden folder and the given text files.
  @discardableResult static func withFolder<Result>(
    _ names: [String], of source: URL, _ files: [String: String] = [:], _ body: (URL) throws -> Result
  ) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "tokenizer-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    for name in names {
      try FileManager.default.copyItem(
        at: source.appendingPathComponent(name), to: folder.appendingPathComponent(name))
    }
    for (name, text) in files {
      try Data(text.utf8).write(to: folder.appendingPathComponent(name))
    }
    return try body(folder)
  }

  static func read<Value: Decodable>(_ name: String, as type: Value.Type) throws -> Value {
    try JSONDecoder().decode(type, from: Data(contentsOf: goldens.appendingPathComponent(name)))
  }
}
