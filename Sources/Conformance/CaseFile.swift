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
/// Masked source positions are dropped, as nothing is padded here. An encoder-decoder's labels keep their length and their
/// -100, so that every logit of the reference has a counterpart. A decoder's row is cut where its first target stands: what
/// lies before is the source, the rest are labels.
struct CaseInputs {
  let leaves: [LeafBatch]
  let rowCount: Int
  /// Labels of a row of the reference.
  let labelLength: Int

  /// - Parameters:
  ///   - microBatches: ranges of rows `[first, end]`; nil for one leaf with all rows.
  ///   - hasSoftPrompt: whether a virtual token stands before the first one, so that this may be a target.
  init(
    _ file: SafetensorsFile, prefix: String = "", model: ModelDescription, microBatches: [[Int]]?, hasSoftPrompt: Bool
  ) throws {
    var sources = try Self.sources(file, prefix: prefix, model: model)
    var labels: [[Int32]]
    switch model.kind {
    case .encoderDecoder:
      labels = try Self.labels(file, model)
      labelLength = labels[0].count
    case .decoder:
      (sources, labels) = try Self.cut(sources, Self.labels(file, model), file, hasSoftPrompt: hasSoftPrompt)
      labelLength = labels.first?.count ?? 0
    case .classifier, .maskedTokens:
      labels = try file.integers("labels").map { [Int32(clamping: $0)] }
      labelLength = 1
    }
    guard labels.count == sources.count else {
      throw ConformanceError.badInputs(file: file.path, reason: "labels: expected one row for each source")
    }
    rowCount = sources.count
    let (rows, targets) = (sources, labels)
    leaves = try (microBatches ?? [[0, rows.count]]).map { range in
      guard range.count == 2, 0 <= range[0], range[0] < range[1], range[1] <= rows.count else {
        throw ConformanceError.badInputs(
          file: file.path, reason: "micro_batches: \(range) is no range of its \(rows.count) rows")
      }
      let part = range[0]..<range[1]
      return LeafBatch(
        sources: Array(rows[part]), labels: Array(targets[part]), examples: part.map { UInt32($0) })
    }
  }

  private static func labels(_ file: SafetensorsFile, _ model: ModelDescription) throws -> [[Int32]] {
    let labels = try matrix(file, "labels")
    let allowed = 0..<Int64(model.vocabularySize)
    guard labels[0].count > 0, labels.joined().allSatisfy({ allowed.contains($0) || $0 == -100 }) else {
      throw ConformanceError.badInputs(
        file: file.path, reason: "labels: expected rows of ids below \(model.vocabularySize) or -100")
    }
    return labels.map { $0.map { Int32($0) } }
  }

  /// Sources and labels of a decoder's rows, whose padding stands on the right.
  private static func cut(
    _ rows: [[Int32]], _ labels: [[Int32]], _ file: SafetensorsFile, hasSoftPrompt: Bool
  ) throws -> ([[Int32]], [[Int32]]) {
    var (sources, targets): ([[Int32]], [[Int32]]) = ([], [])
    for (row, labels) in zip(rows, labels) {
      let own = labels.prefix(row.count)
      let first = max(own.firstIndex { $0 != -100 } ?? row.count, hasSoftPrompt ? 0 : 1)
      guard own.dropFirst(first).elementsEqual(row.dropFirst(first)) else {
        throw ConformanceError.badInputs(
          file: file.path, reason: "labels: expected -100, then the ids of the row up to its end")
      }
      sources.append(Array(row.prefix(first)))
      targets.append(Array(row.dropFirst(first)))
    }
    return (sources, targets)
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

  /// All ids of each row of `input_ids`.
  static func padded(_ file: SafetensorsFile, prefix: String, model: ModelDescription) throws -> [[Int32]] {
    try matrix(file, prefix + "input_ids").map { $0.map { Int32(clamping: $0) } }
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
