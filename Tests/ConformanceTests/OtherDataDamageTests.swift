import Checkpoints
import Foundation
import TensorCore
import Testing

@testable import Conformance

/// One number changed in reference data other than cases: exactly the report it belongs to must disagree.
@Suite @MainActor struct OtherDataDamageTests {
  /// A step from a JSON value to one within it.
  enum Place: Sendable {
    case key(String)
    case index(Int)
  }

  struct Change: Sendable, CustomTestStringConvertible {
    let file: String
    let path: [Place]
    let report: String
    var testDescription: String { report }
  }

  nonisolated static let changes = [
    Change(
      file: "generation/generation.json",
      path: [.key("cases"), .index(0), .key("sequences"), .index(2), .index(5)],
      report: "generation/t5_v10/base/greedy"),
    Change(
      file: "generation/generation.json",
      path: [.key("cases"), .index(1), .key("step0_max_logit"), .index(2)],
      report: "generation/t5_v10/base/greedy_eos"),
    Change(
      file: "generation/filters.json", path: [.key("tests"), .index(5), .key("kept"), .index(4)],
      report: "generation/filters"),
    Change(
      file: "span_corruption.json", path: [.key("worked_examples"), .index(1), .key("inputs"), .index(3)],
      report: "span_corruption"),
    Change(
      file: "span_corruption.json", path: [.key("random_spans_counts"), .index(9), .key("num_noise_spans")],
      report: "span_corruption"),
    Change(
      file: "t5_buckets.json", path: [.key("tables"), .index(3), .key("bucket"), .index(290)],
      report: "t5_buckets"),
    Change(
      file: "optim/schedules.json", path: [.key("lr"), .key("linear_warmup"), .index(9)],
      report: "optim/schedule linear_warmup"),
    Change(
      file: "optim/gradscaler.json", path: [.index(1), .key("steps"), .index(4), .key("scale_after")],
      report: "optim/gradscaler odd_factors"),
    Change(
      file: "optim/clip.json", path: [.index(2), .key("total_norm")], report: "optim/clip 1000.0"),
    Change(
      file: "tokenizers/t5_goldens.json", path: [.key("strings"), .index(200), .key("ids"), .index(0)],
      report: "tokenizers/t5"),
    Change(
      file: "tokenizers/t5_goldens.json", path: [.key("strings"), .index(200), .key("decoded_skip_special")],
      report: "tokenizers/t5"),
    Change(
      file: "tokenizers/t5_pieces.json", path: [.key("pieces"), .index(700), .index(1)],
      report: "tokenizers/t5_pieces"),
    Change(
      file: "tokenizers/gpt2_goldens.json", path: [.key("strings"), .index(299), .key("ids"), .index(0)],
      report: "tokenizers/gpt2"),
    Change(
      file: "tokenizers/roberta_goldens.json", path: [.key("pairs"), .index(59), .key("input_ids"), .index(5)],
      report: "tokenizers/roberta"),
    Change(
      file: "tokenizers/roberta_goldens.json",
      path: [.key("batches"), .index(2), .key("attention_mask"), .index(3), .index(4)], report: "tokenizers/roberta"),
    Change(
      file: "tokenizers/bert_goldens.json", path: [.key("pairs"), .index(0), .key("token_type_ids"), .index(4)],
      report: "tokenizers/bert"),
    Change(
      file: "metrics/metrics.json", path: [.key("classification"), .key("multi"), .key("mcc")],
      report: "metrics/multi"),
  ]

  /// Reports of `file` after `edit` that do not agree.
  private func disagreeing(in file: String, _ edit: (URL) throws -> Void) throws -> [CaseReport] {
    let manager = FileManager.default
    let root = manager.temporaryDirectory.appendingPathComponent("conformance-\(UUID().uuidString)")
    defer { try? manager.removeItem(at: root) }
    try manager.createDirectory(at: root, withIntermediateDirectories: true)
    for name in ["models", "cases"] {
      try manager.createSymbolicLink(
        at: root.appendingPathComponent(name), withDestinationURL: Goldens.root.appendingPathComponent(name))
    }
    let top = file.split(separator: "/").first.map { String($0) } ?? file
    try manager.copyItem(at: Goldens.root.appendingPathComponent(top), to: root.appendingPathComponent(top))
    try edit(root.appendingPathComponent(file))
    var reports: [CaseReport] = []
    _ = try Conformance.replay([root.appendingPathComponent(top)]) { report in
      if case .compared = report.outcome, !report.agrees { reports.append(report) }
    }
    return reports
  }

  @Test(arguments: changes) func oneChangedNumber(change: Change) throws {
    let reports = try disagreeing(in: change.file) { url in
      try AtomicFile.write(Self.changed(JSON.decode(file: url), change.path[...]), to: url)
    }
    #expect(reports.map(\.name) == [change.report])
  }

  @Test(
    arguments: [
      ("optim/optim.safetensors", "adamw/w2d", "optim/adamw"),
      ("optim/clip.safetensors", "clipped_0.1/row", "optim/clip 0.1"),
      ("ops/activations.safetensors", "dydx/gelu", "ops/gelu"),
      ("generation/filters.safetensors", "min_p_0.1.logits", "generation/filters"),
      ("generation/filters.safetensors", "chain.probs", "generation/filters"),
    ]) func oneChangedElement(change: (file: String, tensor: String, report: String)) throws
  {
    let reports = try disagreeing(in: change.file) { url in
      let file = try SafetensorsFile(url)
      let integers = try file.names.compactMap { name -> SafetensorsWriter.Integers? in
        guard let info = file.info(name), !info.type.isFloatingPoint else { return nil }
        return .init(name, shape: info.shape, values: try file.integers(name))
      }
      let counted = Set(integers.map(\.name))
      let tensors = try file.names.filter { !counted.contains($0) }.map { ($0, try file.tensor($0).copy()) }
      for (name, tensor) in tensors where name == change.tensor { tensor.pointer[tensor.count - 1] += 1e-3 }
      try SafetensorsWriter.write(tensors: tensors, integers: integers, to: url)
    }
    #expect(reports.map(\.name) == [change.report])
  }

  /// Exotic characters on which SentencePiece and HF differ are optional in the reference; special tokens are not.
  @Test func optionalRowsAreListedAndNotCounted() throws {
    let folder = Goldens.root.appendingPathComponent("tokenizers")
    let rows = try JSONObject(file: folder.appendingPathComponent("t5_goldens.json")).objects("strings")
    let optional = try rows.indices.first {
      try rows[$0].optionalBool("spm_differs_from_hf") == true && !rows[$0].string("text").contains("<")
    }
    let row = try #require(optional)
    let path: [Place] = [.key("strings"), .index(row), .key("ids"), .index(0)]
    var text = ""
    let reports = try disagreeing(in: "tokenizers/t5_goldens.json") { url in
      try AtomicFile.write(Self.changed(JSON.decode(file: url), path[...]), to: url)
      text = try #require(
        TokenizerReplay.reports(url.deletingLastPathComponent()).first { $0.name == "tokenizers/t5" }
      )
      .text
    }
    #expect(reports.isEmpty)
    #expect(text.contains(": ok\n  known exception: row \(row) ") && text.contains("ids 299 of 299"))
  }

  /// The value with the number or text at `path` changed a little.
  private static func changed(_ json: JSON, _ path: ArraySlice<Place>) throws -> JSON {
    guard let place = path.first else {
      switch json {
      case .integer(let value): return .integer(value + 1)
      case .double(let value): return .double(value * 1.001 + 1e-3)
      case .string(let text): return .string(text + ".")
      default: throw CheckpointError.wrongKind(path: "", expected: "a number", found: json.summary)
      }
    }
    switch (json, place) {
    case (.object(var members), .key(let key)):
      members[key] = try changed(members[key] ?? .null, path.dropFirst())
      return .object(members)
    case (.array(var elements), .index(let index)):
      elements[index] = try changed(elements[index], path.dropFirst())
      return .array(elements)
    default: throw CheckpointError.wrongKind(path: "", expected: "\(place)", found: json.summary)
    }
  }
}
