import Foundation
import TensorCore

/// The training checkpoints of a run: `checkpoints/step-000120/` with `tensors.safetensors` and
/// `manifest.json`.
///
/// A checkpoint appears complete or not at all: its files are written and synchronised in a hidden folder,
/// which is then renamed. Whoever saves must hold the `RunFolderLock` of the run.
public struct CheckpointStore: Sendable {
  /// The folder `checkpoints` of the run.
  public let url: URL

  public init(runFolder: URL) { url = runFolder.appendingPathComponent("checkpoints") }

  /// The steps of which there is a folder, ascending; whether they are whole is not checked.
  ///
  /// - Throws: `CheckpointError` if the folder is there and cannot be listed.
  public func steps() throws -> [Int] { try contents().compactMap(Self.step).sorted() }

  /// Saves the state after `step`, replacing a checkpoint of the same step, then removes older ones.
  ///
  /// - Parameters:
  ///   - state: anything else a resumed run needs; comes back as `Checkpoint.state`.
  ///   - keep: how many checkpoints up to this step stay, this one included; at least 1.
  ///   - protected: steps that stay besides, for instance that of the best adapter.
  /// - Returns: the folder of the checkpoint.
  /// - Throws: `CheckpointError.system` naming the path; the earlier checkpoints are intact then.
  @discardableResult
  public func save(
    step: Int, tensors: [(String, Tensor)], state: [String: JSON], keep: Int, protected: Set<Int> = []
  ) throws -> URL {
    precondition(keep >= 1, "keeping \(keep) checkpoints")
    precondition(step >= 0, "a checkpoint of step \(step)")
    try makeFolder(url)
    try removeLeftovers()
    let final = url.appendingPathComponent(Self.name(step))
    let partial = hidden(step, "partial")
    do {
      try write(step: step, tensors: tensors, state: state, to: partial)
      try moveAway(final, step: step)
      try systemCall("write", final.path) { Int(rename(partial.path, final.path)) }
      try AtomicFile.synchronize(folder: url)
    } catch {
      try? FileManager.default.removeItem(at: partial)
      throw error
    }
    try removeLeftovers()
    try prune(upTo: step, keep: keep, protected: protected)
    return final
  }

  /// The newest checkpoint whose sizes and digests are right.
  ///
  /// - Parameter limit: the latest step that is looked at.
  /// - Returns: nil if there is none; and one sentence for each newer checkpoint that is damaged.
  /// - Throws: `CheckpointError.futureFormat` for a checkpoint that a later version of the program wrote; another one
  ///   if the folder cannot be listed, so that nobody starts over because of a wrong permission.
  public func newestValid(upTo limit: Int = .max) throws -> (checkpoint: Checkpoint?, warnings: [String]) {
    var warnings: [String] = []
    for step in try steps().reversed() where step <= limit {
      let folder = url.appendingPathComponent(Self.name(step))
      do {
        return (try open(folder, step: step), warnings)
      } catch let error as CheckpointError {
        if case .futureFormat = error { throw error }
        warnings.append("checkpoint \(folder.path) is damaged and passed over: \(error)")
      } catch let damage as CheckpointManifest.Damage {
        warnings.append("checkpoint \(folder.path) is damaged and passed over: \(damage.reason)")
      }
    }
    return (nil, warnings)
  }
}

// MARK: Writing

extension CheckpointStore {
  private func write(step: Int, tensors: [(String, Tensor)], state: [String: JSON], to folder: URL) throws {
    try makeFolder(folder)
    let digest = try SafetensorsWriter.writeInPlace(
      tensors: tensors, to: folder.appendingPathComponent(CheckpointManifest.tensorsName))
    let manifest = CheckpointManifest(step: step, tensors: digest, state: state)
    try AtomicFile.writeInPlace(to: folder.appendingPathComponent(CheckpointManifest.fileName)) { sink in
      try sink.write(Array((manifest.json.encoded() + "\n").utf8))
    }
    try AtomicFile.synchronize(folder: folder)
  }

  /// Hides a checkpoint; its files go with the leftovers.
  private func moveAway(_ folder: URL, step: Int) throws {
    guard FileManager.default.fileExists(atPath: folder.path) else { return }
    try systemCall("replace", folder.path) { Int(rename(folder.path, hidden(step, "removed").path)) }
  }

  private func prune(upTo step: Int, keep: Int, protected: Set<Int>) throws {
    let candidates = try steps().filter { $0 <= step }
    for old in candidates.dropLast(keep) where !protected.contains(old) {
      try moveAway(url.appendingPathComponent(Self.name(old)), step: old)
    }
    try removeLeftovers()
  }

  /// Removes hidden folders of this run and of killed ones. One that cannot be removed takes room and does no
  /// harm.
  private func removeLeftovers() throws {
    for name in try contents() where Self.isLeftover(name) {
      try? FileManager.default.removeItem(at: url.appendingPathComponent(name))
    }
  }
}

// MARK: Reading

extension CheckpointStore {
  private func open(_ folder: URL, step: Int) throws -> Checkpoint {
    let manifest = try CheckpointManifest(in: folder)
    guard manifest.step == step else {
      throw CheckpointManifest.Damage(reason: "its manifest is that of step \(manifest.step)")
    }
    let file = folder.appendingPathComponent(CheckpointManifest.tensorsName)
    let found = try MappedFile(file).withBytes { FileDigest(byteCount: $0.count, sha256: sha256($0)) }
    guard found.byteCount == manifest.tensors.byteCount else {
      throw CheckpointManifest.Damage(
        reason:
          "\(file.lastPathComponent) has \(found.byteCount) bytes, expected \(manifest.tensors.byteCount)")
    }
    guard found.sha256 == manifest.tensors.sha256 else {
      throw CheckpointManifest.Damage(reason: "\(file.lastPathComponent) does not match its SHA-256")
    }
    let origin = folder.appendingPathComponent(CheckpointManifest.fileName).path
    return Checkpoint(
      step: step, url: folder, state: JSONObject(manifest.state, origin: origin),
      tensors: try SafetensorsFile(file))
  }
}

// MARK: Names

extension CheckpointStore {
  /// The names in the folder; none if there is no folder yet.
  private func contents() throws -> [String] {
    guard access(url.path, F_OK) == 0 || errno != ENOENT else { return [] }
    try systemCall("list", url.path) { Int(access(url.path + "/.", R_OK | X_OK)) }
    return try FileManager.default.contentsOfDirectory(atPath: url.path)
  }

  /// `step-000120`
  static func name(_ step: Int) -> String {
    let digits = String(step)
    return "step-" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
  }

  private static func step(of name: String) -> Int? {
    guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), Self.name(step) == name else {
      return nil
    }
    return step
  }

  /// `.step-000120.partial-PID`, or `removed` instead of `partial`.
  private func hidden(_ step: Int, _ purpose: String) -> URL {
    url.appendingPathComponent(".\(Self.name(step)).\(purpose)-\(getpid())")
  }

  private static func isLeftover(_ name: String) -> Bool {
    name.hasPrefix(".step-") && (name.contains(".partial-") || name.contains(".removed-"))
  }
}
