import Foundation

/// The label names of a classifier beside an adapter, whose own files have no place for them: `id2label.json`, an object from
/// number to name as in a model's `config.json`.
public enum LabelNamesFile {
  private static let name = "id2label.json"

  /// - Throws: `CheckpointError` naming the file.
  public static func write(_ labels: [String], to folder: URL) throws {
    let members = labels.enumerated().map { ("\($0)", JSON.string($1)) }
    try AtomicFile.write(
      JSON.object(Dictionary(uniqueKeysWithValues: members)), to: folder.appendingPathComponent(name))
  }

  /// Names by number; nil if the folder has none. Of several adapters in one folder any has them.
  ///
  /// - Throws: `CheckpointError` for a file with anything else.
  public static func read(_ folder: URL) throws -> [String]? {
    let places = ([folder] + AdapterFolder.parts(of: folder)).map { $0.appendingPathComponent(name) }
    guard let url = try places.first(where: isPresent) else { return nil }
    let object = try JSONObject(file: url)
    return try (0..<object.members.count).map { try object.string("\($0)") }
  }
}
