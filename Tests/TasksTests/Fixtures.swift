import Foundation
import Tokenization

@testable import Tasks

enum Fixtures {
  static let goldens = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Goldens")

  /// Runs `body` with a folder that holds the given files; names may have folders in them.
  @discardableResult static func withFolder<Result>(
    _ files: [String: String] = [:], _ body: (URL) throws -> Result
  ) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tasks-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    for (name, text) in files {
      let url = folder.appendingPathComponent(name)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: url)
    }
    return try body(folder)
  }
}

/// All of an example but its place and name.
struct ExampleTexts: Equatable {
  let source: String
  let second: String?
  let target: String
  let label: Int?
  let value: Float?
  let tail: String
  let references: [String]

  init(
    _ source: String, second: String? = nil, target: String, label: Int? = nil, value: Float? = nil, tail: String = "",
    references: [String]? = nil
  ) {
    self.source = source
    self.second = second
    self.target = target
    self.label = label
    self.value = value
    self.tail = tail
    self.references = references ?? [target]
  }
}

extension Example {
  var texts: ExampleTexts {
    ExampleTexts(
      source, second: second, target: target, label: label, value: value, tail: tail, references: references)
  }
}

/// One id per word, its number of letters + 10; end-of-sequence 1.
struct WordLengthTokenizer: Tokenizer {
  var identity = "word lengths"
  let url = URL(fileURLWithPath: "words")
  let vocabularyCount = 1000
  let padID: Int32 = 0
  let eosID: Int32 = 1
  let unknownID: Int32 = 2
  let maskID: Int32? = nil
  let specialIDs: Set<Int32> = []

  func tokens(of text: String) -> [Int32] { text.split(separator: " ").map { Int32($0.count + 10) } }
  func assemble(_ first: [Int32], _ second: [Int32]?) -> AssembledTokens {
    guard let second else { return AssembledTokens(ids: first + [1]) }
    return AssembledTokens(ids: first + [1] + second + [1], secondStart: first.count + 1)
  }
  func decode(_ ids: [Int32], skippingSpecialTokens: Bool) -> String {
    ids.map(String.init).joined(separator: " ")
  }
}
