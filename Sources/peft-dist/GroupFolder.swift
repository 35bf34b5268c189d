import Checkpoints
import Foundation
import Training

/// The output folder of several runs: `members/`, with a run folder for each.
enum GroupFolder {
  /// Takes the folder for a new group of runs, or for going on with the one it holds. On rank 0 only.
  ///
  /// - Throws: `TrainingError.runExists` if it holds one and `resume` is false; `.otherRun` if it holds anything else;
  ///   `CheckpointError` if it cannot be written or another process works in it.
  static func take(_ url: URL, resume: Bool) throws -> RunFolderLock {
    func holds(_ name: String) -> Bool {
      FileManager.default.fileExists(atPath: url.appendingPathComponent(name).path)
    }
    let others = [
      "config.json", "adapter_config.json", "train.jsonl", "test.jsonl", RunFolder.configurationName,
      RunFolder.metricsName, RunFolder.summaryName,
    ]
    if let other = others.first(where: holds) {
      throw TrainingError.otherRun(folder: url.path, reason: "it holds \(other)")
    }
    if holds("members"), !resume { throw TrainingError.runExists(folder: url.path) }
    return try RunFolderLock(url)
  }
}
