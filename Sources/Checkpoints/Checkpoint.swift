import Foundation
import TensorCore

/// One saved state of a training run, whose files were found whole.
public struct Checkpoint: Sendable {
  public let step: Int
  public let url: URL
  /// What the caller of `save` gave as state.
  public let state: JSONObject
  /// The tensors: read-only views of the file, `copy()` them before writing.
  public let tensors: SafetensorsFile
}

/// The list of contents of a checkpoint folder, written last: `manifest.json`.
///
/// ```json
/// {"files": {"tensors.safetensors": {"bytes": 1234, "sha256": "..."}}, "format_version": 1,
///  "sha256": "...", "state": {...}, "step": 120}
/// ```
/// The outer `sha256` is that of this object without it, as `JSON.encoded(.compact)` writes it; so a changed
/// digit in the manifest itself does not go unnoticed.
struct CheckpointManifest {
  static let fileName = "manifest.json"
  static let tensorsName = "tensors.safetensors"
  static let formatVersion = 1

  /// Why a checkpoint is not usable.
  struct Damage: Error {
    let reason: String
  }

  let step: Int
  let tensors: FileDigest
  let state: [String: JSON]

  var json: JSON {
    var members: [String: JSON] = [
      "format_version": .integer(Self.formatVersion),
      "step": .integer(step),
      "files": [Self.tensorsName: ["bytes": .integer(tensors.byteCount), "sha256": .string(tensors.sha256)]],
      "state": .object(state),
    ]
    members["sha256"] = .string(Self.digest(of: members))
    return .object(members)
  }

  init(step: Int, tensors: FileDigest, state: [String: JSON]) {
    self.step = step
    self.tensors = tensors
    self.state = state
  }

  /// - Throws: `CheckpointError.futureFormat`; `Damage` or another `CheckpointError` if the manifest is not
  ///   whole.
  init(in folder: URL) throws {
    let manifest = try JSONObject(file: folder.appendingPathComponent(Self.fileName))
    let version = try manifest.int("format_version")
    guard version <= Self.formatVersion else {
      throw CheckpointError.futureFormat(
        path: manifest.origin, found: version, supported: Self.formatVersion)
    }
    var members = manifest.members
    members["sha256"] = nil
    guard try manifest.string("sha256") == Self.digest(of: members) else {
      throw Damage(reason: "\(Self.fileName) does not match its own SHA-256")
    }
    step = try manifest.int("step")
    state = try manifest.object("state").members
    let file = try manifest.object("files").object(Self.tensorsName)
    tensors = FileDigest(byteCount: try file.int("bytes"), sha256: try file.string("sha256"))
  }

  private static func digest(of members: [String: JSON]) -> String {
    Array(JSON.object(members).encoded(.compact).utf8).withUnsafeBytes { sha256($0) }
  }
}
