import Checkpoints
import Diagnostics
import Foundation
import NN

/// The output folder of a run, owned by rank 0: `run.yaml`, `metrics.jsonl`, `summary.json`, `checkpoints/`, `adapter/`.
public final class RunFolder {
  public let url: URL
  public let checkpoints: CheckpointStore
  /// Nil where the folder is only looked at.
  private let lock: RunFolderLock?
  private var metrics: LineLog?
  private var digests: LineLog?
  private var background: CheckpointWriter?

  public static let metricsName = "metrics.jsonl"
  public static let summaryName = "summary.json"
  public static let configurationName = "run.yaml"

  /// Takes the folder for a new run, or for going on with the one it holds.
  ///
  /// Throws: `TrainingError.runExists` if it holds a run and `resume` is false; `.otherRun` if it holds a model, an
  /// adapter or data; `CheckpointError` if it cannot be written or another process works in it.
  public init(_ url: URL, resume: Bool, isReadOnly: Bool = false) throws {
    self.url = url
    func holds(_ name: String) -> Bool {
      FileManager.default.fileExists(atPath: url.appendingPathComponent(name).path)
    }
    let traces = [Self.configurationName, Self.metricsName, Self.summaryName, "checkpoints", "adapter"]
    if !resume, traces.contains(where: holds) { throw TrainingError.runExists(folder: url.path) }
    let others = ["config.json", "adapter_config.json", "train.jsonl", "test.jsonl"]
    if let other = others.first(where: holds) {
      throw TrainingError.otherRun(folder: url.path, reason: "it holds \(other)")
    }
    lock = isReadOnly ? nil : try RunFolderLock(url)
    checkpoints = CheckpointStore(runFolder: url)
    if lock != nil { AtomicFile.removeLeftovers(below: url) }
  }

  deinit { background?.close() }

  public func writeConfiguration(_ yaml: String) throws {
    try AtomicFile.write(Array(yaml.utf8), to: url.appendingPathComponent(Self.configurationName))
  }

  /// Opens `metrics.jsonl` and `digests.jsonl`, dropping what they hold beyond `step`: lines a killed run wrote after its
  /// last checkpoint.
  func openLogs(keepingUpTo step: Int, parameters: [Parameter]) throws {
    func isKept(_ object: JSONObject) -> Bool { ((try? object.int("step")) ?? .max) <= step }
    metrics = try LineLog(url.appendingPathComponent(Self.metricsName), keep: isKept)
    digests = try LineLog(
      url.appendingPathComponent(DigestLog.fileName), header: DigestLog.headerLine(parameters), keep: isKept)
  }

  /// One line of `metrics.jsonl`.
  func logMetrics(_ members: [String: JSON]) { metrics?.append(JSON.object(members).encoded(.compact)) }

  /// One line of `digests.jsonl`.
  func logDigests(_ line: String) { digests?.append(line) }

  /// The thread that writes checkpoints.
  func writer(keep: Int) -> CheckpointWriter {
    if let background { return background }
    let writer = CheckpointWriter(store: checkpoints, keep: keep)
    background = writer
    return writer
  }

  /// Waits until checkpoints and logs are written; nil, or why the newest checkpoint is not.
  func finishWriting() -> String? {
    let failure = background?.drain(forAtMost: 10)
    flushLogs()
    return failure
  }

  private func flushLogs() {
    metrics?.flush()
    digests?.flush()
  }

  /// The trained method: an adapter folder, for several methods one for each in it, or for full fine-tuning a model folder
  /// with the base's other files. The label names of a classifier lie beside the adapter in `id2label.json`.
  ///
  /// - Returns: size and SHA-256 of the weights file; of several methods the sum of their sizes, and the SHA-256 of their
  ///   digests, one below the other.
  public func writeAdapter(_ files: AdapterFiles, baseFolder: URL, model: ModelDescription) throws -> FileDigest {
    let target = url.appendingPathComponent("adapter")
    guard files.parts.isEmpty else {
      let digests = try files.parts.map {
        try write($0.files, to: target.appendingPathComponent($0.name), baseFolder, model)
      }
      return FileDigest(
        byteCount: digests.reduce(0) { $0 + $1.byteCount },
        sha256: Array(digests.map(\.sha256).joined(separator: "\n").utf8).withUnsafeBytes(sha256))
    }
    return try write(files, to: target, baseFolder, model)
  }

  private func write(
    _ files: AdapterFiles, to target: URL, _ baseFolder: URL, _ model: ModelDescription
  ) throws -> FileDigest {
    if let config = files.config {
      let digest = try AdapterFolder.write(
        config: config, tensors: files.tensors, trainingTensors: files.trainingTensors, to: target)
      if let head = model.head { try LabelNamesFile.write(head.labels, to: target) }
      return digest
    }
    return try ModelFolder.write(
      tensors: files.tensors, like: baseFolder, changes: model.configurationChanges, to: target)
  }

  public func writeSummary(_ members: [String: JSON]) throws {
    flushLogs()
    try AtomicFile.write(JSON.object(members), to: url.appendingPathComponent(Self.summaryName))
  }
}
