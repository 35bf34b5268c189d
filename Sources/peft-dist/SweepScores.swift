import Checkpoints
import Foundation

/// What a member scored at each rung, kept in its folder: so that no rung is done twice.
struct SweepScores: Equatable {
  private static let fileName = "scores.json"
  /// By step; NaN where the metric had no value or the run left the finite numbers.
  private(set) var byStep: [Int: Double] = [:]

  /// - Throws: `CheckpointError` where the file is damaged.
  init(folder: URL) throws {
    let url = folder.appendingPathComponent(Self.fileName)
    guard FileManager.default.fileExists(atPath: url.path) else { return }
    let object = try JSONObject(file: url)
    for key in object.members.keys {
      guard let step = Int(key) else { throw object.error(key, expected: "a step as key") }
      byStep[step] = try object.optionalDouble(key) ?? .nan
    }
  }

  mutating func note(_ score: Double, step: Int, in folder: URL) throws {
    byStep[step] = score
    let members = byStep.map { ("\($0)", $1.isFinite ? JSON.double($1) : .null) }
    try makeFolder(folder)
    try AtomicFile.write(
      JSON.object(Dictionary(uniqueKeysWithValues: members)), to: folder.appendingPathComponent(Self.fileName))
  }
}
