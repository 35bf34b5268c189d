import Checkpoints
import Foundation
import NN
import TensorCore

/// `case.json` of a case folder, and the files around it.
struct CaseFile {
  let folder: URL
  let root: ReferenceRoot
  let json: JSONObject
  let name: String
  /// `FULL`, `FORWARD`, `ADAPTER`, or HF PEFT's `peft_type`.
  let method: String
  let expected: JSONObject
  private let tolerances: JSONObject

  init(_ folder: URL) throws {
    self.folder = folder
    json = try JSONObject(file: folder.appendingPathComponent("case.json"))
    name = try json.string("name")
    method = try json.string("method")
    expected = try json.object("expected")
    tolerances = try json.object("tolerances")
    root = try ReferenceRoot(containing: folder)
  }

  /// Folder of the adapter before training: HF PEFT's, or that of the library `adapters`.
  var initialAdapter: String { method == "ADAPTER" ? "adapters_lib_init" : "adapter_init" }

  /// Whether what is trained is more than what the adapter folder holds.
  var hasTrainingForm: Bool { method != "ADAPTER" }

  func url(_ path: String) -> URL { folder.appendingPathComponent(path) }

  func tensors(_ path: String) throws -> SafetensorsFile { try SafetensorsFile(url(path)) }

  /// `NAME_atol` and, if there, `NAME_rtol` of the case.
  func tolerance(_ name: String) throws -> Tolerance {
    let key = "\(name)_atol"
    let absolute = try tolerances.double(key)
    let relative = try tolerances.optionalDouble("\(name)_rtol") ?? 0
    guard absolute >= 0, absolute.isFinite, relative >= 0, relative.isFinite else {
      throw tolerances.error(key, expected: "a number >= 0")
    }
    return Tolerance(absolute: absolute, relative: relative)
  }
}

/// `inputs.safetensors` of a case as one leaf for each micro-batch.
///
/// Masked source positions are dropped, as nothing is padded here. Labels keep their length and their -100, so that
/// every logit of the reference has a counterpart.
struct CaseInputs {
  let leaves: [LeafBatch]
  let rowCount: Int
  let labelLength: Int

  /// - Parameter microBatches: ranges of rows `[first, end]`; nil for one leaf with all rows.
  init(_ file: SafetensorsFile, prefix: String = "", model: ModelDescription, microBatches: [[Int]]?) throws {
    let sources = try Self.sources(file, prefix: prefix, model: model)
    let labels = try Self.matrix(file, "labels")
    let allowed = 0..<Int64(model.vocabularySize)
    guard labels.count == sources.count, labels[0].count > 0,
      labels.joined().allSatisfy({ allowed.contains($0) || $0 == -100 })
    else {
      throw ConformanceError.badInputs(
        file: file.path,
        reason: "labels: expected a row of ids below \(model.vocabularySize) or -100 for each source")
    }
    rowCount = sources.count
    labelLength = labels[0].count
    leaves = try (microBatches ?? [[0, sources.count]]).map { range in
      guard range.count == 2, 0 <= range[0], range[0] < range[1], range[1] <= sources.count else {
        throw ConformanceError.badInputs(
          file: file.path, reason: "micro_batches: \(range) is no range of its \(sources.count) rows")
      }
      let rows = range[0]..<range[1]
      return LeafBatch(
        sources: Array(sources[rows]), labels: labels[rows].map { $0.map { Int32($0) } },
        examples: rows.map { UInt32($0) })
    }
  }

  var targetCount: Int { leaves.reduce(0) { $0 + $1.targetCount } }

  /// The unmasked ids of each row of `input_ids`.
  static func sources(_ file: SafetensorsFile, prefix: String, model: ModelDescription) throws -> [[Int32]] {
    let ids = try matrix(file, prefix + "input_ids")
    let mask = try matrix(file, prefix + "attention_mask")
    guard mask.map(\.count) == ids.map(\.count) else {
      throw ConformanceError.badInputs(
        file: file.path, reason: "input_ids and attention_mask differ in shape")
    }
    return try zip(ids, mask).map { row, mask in
      // Positions are relative, so padding may stand on either side; a gap would move what follows it.
      guard let first = mask.firstIndex(of: 1), let last = mask.lastIndex(of: 1),
        mask[first...last].allSatisfy({ $0 == 1 }),
        row.allSatisfy({ $0 >= 0 && $0 < model.vocabularySize })
      else {
        throw ConformanceError.badInputs(
          file: file.path,
          reason: "expected rows with one run of unmasked ids below \(model.vocabularySize)")
      }
      return row[first...last].map { Int32($0) }
    }
  }

  /// The rows of a tensor of integers with two dimensions, at least one row.
  private static func matrix(_ file: SafetensorsFile, _ name: String) throws -> [[Int64]] {
    let elements = try file.integers(name)
    guard let shape = file.info(name)?.shape, shape.count == 2, shape[0] > 0 else {
      throw ConformanceError.badInputs(file: file.path, reason: "\(name): expected rows of integers")
    }
    return (0..<shape[0]).map { Array(elements[$0 * shape[1]..<($0 + 1) * shape[1]]) }
  }
}
