import Checkpoints
import Foundation
import Testing

/// What a training run left behind, without what differs from one run to the next by its nature: times, the
/// layout, and what was kept.
struct RunResults: Equatable {
  /// SHA-256 of the trained weights, of several methods those of each too.
  let weights: String
  /// Lines of `metrics.jsonl` without timing.
  let metrics: [String]
  /// `summary.json` without times, ranks, threads and the use of the activation cache.
  let summary: String

  init(_ output: URL) throws {
    let names = ["adapter_model.safetensors", "adapter.safetensors", "model.safetensors"]
    let adapter = output.appending(path: "adapter")
    let parts = AdapterFolder.parts(of: adapter)
    let digests = try (parts.isEmpty ? [adapter] : parts).map { folder in
      let files = names.map { folder.appending(path: $0) }
      return try sha256(of: #require(files.first { FileManager.default.fileExists(atPath: $0.path) }))
    }
    metrics = try Self.lines(of: output.appending(path: "metrics.jsonl")).map { line in
      Self.withoutTiming(try JSONObject(line: line))
    }
    let summary = try JSONObject(file: output.appending(path: "summary.json"))
    let total = try summary.string("adapter_sha256")
    if parts.isEmpty { #expect(digests == [total]) }
    weights = ([total] + digests).joined(separator: " ")
    self.summary = Self.withoutTiming(summary)
  }

  /// Lines of a text file; none if it is not there.
  static func lines(of file: URL) -> [String] {
    let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").map(String.init)
  }

  /// The members that do not depend on how fast, or on what layout, the run was.
  private static func withoutTiming(_ object: JSONObject) -> String {
    let members = object.members.filter {
      !$0.key.contains("second")
        && !["ranks", "threads_per_rank", "activation_cache", "peak_rss_mb", "kernels", "cpu"].contains($0.key)
    }
    return JSON.object(members).encoded(.compact)
  }
}

extension JSONObject {
  /// One line of JSON.
  init(line: String) throws {
    guard case .object(let members) = try JSON.decode(Array(line.utf8), origin: "line") else {
      throw CheckpointError.wrongKind(path: "line", expected: "an object", found: line)
    }
    self.init(members, origin: "line")
  }
}

/// Everything below a folder: path, SHA-256 and time of change of each file.
struct FolderContent: Equatable {
  let files: [String: Stamp]

  struct Stamp: Equatable {
    let sha256: String
    let changed: Date?
  }

  init(_ folder: URL) throws {
    var files: [String: Stamp] = [:]
    for case let path as String in FileManager.default.enumerator(atPath: folder.path) ?? .init() {
      let url = folder.appending(path: path)
      let attributes = try FileManager.default.attributesOfItem(atPath: url.path)
      guard attributes[.type] as? FileAttributeType == .typeRegular else { continue }
      files[path] = Stamp(
        sha256: try sha256(of: url), changed: attributes[.modificationDate] as? Date)
    }
    self.files = files
  }
}
