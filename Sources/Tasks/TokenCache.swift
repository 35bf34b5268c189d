import Checkpoints
import Diagnostics
import Foundation
import Tokenization

/// Token tables on disk, shared by the ranks and runs of a node.
///
/// A table lies under `directory` by the digest of all it depends on: tokenizer, content of the data, task, text options,
/// length limits and format. Whoever comes first tokenises while the
/// others wait for its lock and then map its file; a damaged file is made anew.
public struct TokenCache: Sendable {
  public let directory: URL

  public init(directory: URL) {
    self.directory = directory.appendingPathComponent("tokens")
  }

  /// The digest that names the table of some data under `task`.
  ///
  /// - Parameter content: digest of the data, see `DataDigest`.
  public static func key(
    content: String, task: any TextTask, tokenizer: any Tokenizer, encoding: ExampleEncoding
  ) -> ContentKey {
    var key = ContentKey()
    key.add("tokens")
    key.add(TokenTable.formatVersion)
    key.add(tokenizer.identity)
    key.add(task.name)
    key.add(task.labels.count)
    task.labels.forEach { key.add($0) }
    key.add(task.options.lowercase ? 1 : 0)
    key.add(task.options.stripHTML ? 1 : 0)
    key.add(task.options.form.rawValue)
    key.add(task.options.keepsTextsApart ? 1 : 0)
    key.add(encoding.form.rawValue)
    key.add(encoding.trainsOnSource ? 1 : 0)
    key.add(encoding.source)
    key.add(encoding.target)
    key.add(encoding.textLength)
    key.add(content)
    return key
  }

  /// The table of `key`: mapped from disk, or made by `make`, written, and mapped.
  ///
  /// When the directory cannot be used, `warn` is told why and the table stays in memory.
  /// - Throws: whatever `make` throws.
  func table(
    _ key: ContentKey, warn: (String) -> Void, make: () throws -> [EncodedExample]
  ) throws -> TokenTable {
    let file = directory.appendingPathComponent("\(key).tokens")
    if let table = try open(file, key, warn: { _ in }) { return table }
    do {
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
      return try FileLock.holding(directory.appendingPathComponent("\(key).lock")) {
        if let table = try open(file, key, warn: warn) { return table }
        // Nobody else has the lock, so nobody is writing.
        AtomicFile.removeLeftovers(of: file)
        let bytes = TokenTable.serialize(try make(), key: key)
        do {
          try AtomicFile.write(bytes, to: file)
        } catch let error as CheckpointError {
          warn("token cache: \(error); the tokens stay in memory")
          return try TokenTable(bytes: bytes, key: key)
        }
        return try open(file, key, warn: warn) ?? TokenTable(bytes: bytes, key: key)
      }
    } catch let failure as FileLock.Failure {
      return try unshared(key, failure.reason, warn, make)
    } catch let error as CocoaError {
      return try unshared(key, DataFolder.reason(error), warn, make)
    }
  }

  private func unshared(
    _ key: ContentKey, _ reason: String, _ warn: (String) -> Void, _ make: () throws -> [EncodedExample]
  ) throws -> TokenTable {
    warn(
      "token cache: cannot use \(directory.path): \(reason); the tokens stay in memory and every rank makes "
        + "its own (choose another folder with --cache-dir)")
    return try TokenTable(bytes: TokenTable.serialize(try make(), key: key), key: key)
  }

  /// The table in `file`, nil if there is none or none that is whole.
  private func open(_ file: URL, _ key: ContentKey, warn: (String) -> Void) throws -> TokenTable? {
    guard (try? FileContents.requireFile(file.path)) != nil,
      let bytes = try? Data(contentsOf: file, options: .alwaysMapped)
    else { return nil }
    do { return try TokenTable(bytes: bytes, key: key) } catch let defect as TokenTable.Defect {
      warn("token cache: \(file.path) is damaged (\(defect)); making it anew")
      return nil
    }
  }
}
