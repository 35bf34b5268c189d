import Checkpoints
import Foundation
import TensorCore
import Testing

@testable import Conformance

/// Reference data that was changed in one place must not agree, and broken data must give one clear error.
@Suite @MainActor struct DamageTests {
  /// A copy of a case below a root of its own; models are linked.
  private struct Copy: ~Copyable {
    let root: URL
    let folder: URL

    init(_ name: String) throws {
      let manager = FileManager.default
      root = manager.temporaryDirectory.appendingPathComponent("conformance-\(UUID().uuidString)")
      folder = root.appendingPathComponent("cases/\(name)")
      try manager.createDirectory(
        at: root.appendingPathComponent("cases"), withIntermediateDirectories: true)
      try manager.createSymbolicLink(
        at: root.appendingPathComponent("models"),
        withDestinationURL: Goldens.root.appendingPathComponent("models"))
      try manager.copyItem(at: Goldens.root.appendingPathComponent("cases/\(name)"), to: folder)
    }

    deinit { try? FileManager.default.removeItem(at: root) }

    @MainActor func report() -> CaseReport { CaseReplay.report(folder) }

    /// Writes the tensors of a file back after `change`.
    func edit(_ file: String, _ change: (inout [String: Tensor]) throws -> Void) throws {
      let url = folder.appendingPathComponent(file)
      let old = try SafetensorsFile(url)
      var tensors = Dictionary(uniqueKeysWithValues: try old.names.map { ($0, try old.tensor($0).copy()) })
      try change(&tensors)
      try SafetensorsWriter.write(tensors: tensors.map { ($0.key, $0.value) }, to: url)
    }

    func edit(json file: String, _ change: (inout [String: JSON]) throws -> Void) throws {
      let url = folder.appendingPathComponent(file)
      var members = try JSONObject(file: url).members
      try change(&members)
      try AtomicFile.write(JSON.object(members), to: url)
    }
  }

  private let name = "prompt_t5_v10"
  private let gradient = "grad/prompt_encoder.embedding.weight"

  private func expectComplaint(_ copy: borrowing Copy, _ quantity: String, _ text: String) {
    let report = copy.report()
    #expect(!report.agrees)
    guard case .compared(let findings) = report.outcome else {
      Issue.record("\(report.text)")
      return
    }
    #expect(findings.filter { !$0.agrees }.map(\.quantity) == [quantity], "\(report.text)")
    #expect(report.text.contains(text), "\(report.text)")
  }

  @Test func anUnchangedCopyAgrees() throws {
    let copy = try Copy(name)
    try copy.edit("expected.safetensors") { _ in }
    #expect(copy.report().agrees)
  }

  /// A case without a method: logits and loss of the base alone.
  @Test func aForwardCase() throws {
    let copy = try Copy("full_t5_v10")
    try copy.edit(json: "case.json") { members in
      members["method"] = "FORWARD"
      members["optimizer"] = nil
    }
    let report = copy.report()
    guard case .compared(let findings) = report.outcome else {
      Issue.record("\(report.text)")
      return
    }
    #expect(
      report.agrees && findings.map(\.quantity) == ["logits", "loss", "base unchanged"], "\(report.text)")
  }

  @Test(arguments: [Float.nan, 0.001]) func oneChangedLogit(change: Float) throws {
    let copy = try Copy(name)
    try copy.edit("expected.safetensors") { tensors in
      let logits = try #require(tensors["logits"])
      logits.pointer[logits.count - 1] += change
    }
    expectComplaint(copy, "logits", "logits[2, 4, 511]")
  }

  @Test func oneChangedDerivative() throws {
    let copy = try Copy(name)
    try copy.edit("expected.safetensors") { tensors in
      try #require(tensors[gradient]).pointer[7 * 64 + 3] += 1e-5
    }
    expectComplaint(copy, "grad", "[7, 3]")
  }

  @Test func aMissingGradient() throws {
    let copy = try Copy("lora_regex_t5_v10")
    try copy.edit("expected.safetensors") { tensors in
      tensors[try #require(tensors.keys.filter { $0.hasPrefix("grad/") }.min())] = nil
    }
    expectComplaint(copy, "names", "is not in the reference")
  }

  @Test func aGradientTooMany() throws {
    let copy = try Copy(name)
    try copy.edit("expected.safetensors") { $0["grad/lost.weight"] = Tensor(zeros: [1]) }
    expectComplaint(copy, "names", "'lost.weight' is missing")
  }

  @Test func oneChangedElementOfTheFinalAdapter() throws {
    let copy = try Copy("lora_regex_t5_v10")
    try copy.edit("adapter_final/adapter_model.safetensors") { tensors in
      let tensor = try #require(tensors.sorted { $0.key < $1.key }.last?.value)
      tensor.pointer[0] += 0.01
    }
    expectComplaint(copy, "final", "[0, 0]")
  }

  @Test func aKeyMissingFromTheFinalAdapter() throws {
    let copy = try Copy("lora_regex_t5_v10")
    try copy.edit("adapter_final/adapter_model.safetensors") { tensors in
      tensors[try #require(tensors.keys.min())] = nil
    }
    expectComplaint(copy, "final keys", "is not in the reference")
  }

  @Test func anotherLoss() throws {
    let copy = try Copy(name)
    try copy.edit(json: "case.json") { members in
      guard case .object(var expected)? = members["expected"], case .array(var losses)? = expected["losses"]
      else {
        return
      }
      losses[5] = .double(6.4351)
      expected["losses"] = .array(losses)
      members["expected"] = .object(expected)
    }
    expectComplaint(copy, "losses", "after 5 updates")
  }

  @Test func anotherFactorInTheConfiguration() throws {
    let copy = try Copy("lora_regex_t5_v10")
    try copy.edit(json: "adapter_final/adapter_config.json") { $0["lora_alpha"] = 7 }
    expectComplaint(copy, "final config", "lora_alpha")
  }

  // MARK: Broken and unknown

  private func expectUnreadable(_ copy: borrowing Copy, _ text: String) {
    let report = copy.report()
    guard case .unreadable(let reason) = report.outcome else {
      Issue.record("\(report.text)")
      return
    }
    #expect(reason.contains(text), "\(reason)")
  }

  @Test func unknownMethodsAreNamed() throws {
    let copy = try Copy(name)
    try copy.edit(json: "case.json") { $0["method"] = "LOHA" }
    #expect(copy.report().text == "\(name): not supported (method LOHA)")
    try copy.edit(json: "case.json") { $0["method"] = "PROMPT_TUNING" }
    try copy.edit(json: "adapter_init/adapter_config.json") { $0["peft_type"] = "VERA" }
    #expect(copy.report().text == "\(name): not supported (peft_type 'VERA')")
  }

  @Test(arguments: ["/etc", "../../models/t5_v10", "models/../../x"])
  func pathsStayBelowTheRoot(path: String) throws {
    let copy = try Copy(name)
    try copy.edit(json: "case.json") { $0["model"] = .string(path) }
    expectUnreadable(copy, "key 'model': expected a path below the root")
  }

  @Test(arguments: [
    "case.json", "inputs.safetensors", "expected.safetensors", "adapter_init/adapter_config.json",
  ])
  func missingAndTruncatedFiles(file: String) throws {
    let copy = try Copy(name)
    let url = copy.folder.appendingPathComponent(file)
    try Data("{".utf8).write(to: url)
    expectUnreadable(copy, url.lastPathComponent)
    try FileManager.default.removeItem(at: url)
    expectUnreadable(copy, url.lastPathComponent)
  }

  @Test func idsBeyondTheVocabulary() throws {
    let copy = try Copy(name)
    let url = copy.folder.appendingPathComponent("inputs.safetensors")
    let file = try SafetensorsFile(url)
    let broken = [
      ("input_ids", 0, Int64(512)), ("labels", 1, -1), ("attention_mask", 4, 0), ("labels", 0, 1 << 40),
    ]
    for (broken, index, value) in broken {
      let integers = try file.names.map { name in
        var values = try file.integers(name)
        if name == broken { values[index] = value }
        return SafetensorsWriter.Integers(name, shape: file.info(name)?.shape ?? [], values: values)
      }
      try SafetensorsWriter.write(tensors: [], integers: integers, to: url)
      expectUnreadable(copy, "inputs.safetensors")
    }
  }

  @Test func hostileNumbers() throws {
    let optimizer: JSON = ["type": "AdamW", "schedule": "linear", "lr": 0.1, "steps": 1_000_000_000]
    let changes: [(String, JSON, String)] = [
      ("optimizer", optimizer, "key 'optimizer.steps'"), ("max_grad_norm", -1, "key 'max_grad_norm'"),
      ("micro_batches", [[0, 99]], "micro_batches: [0, 99]"),
      ("micro_batches", [[2, 1]], "micro_batches: [2, 1]"),
      ("tolerances", [:], "key 'tolerances.logits_atol'"), ("expected", 3, "key 'expected'"),
    ]
    for (key, value, complaint) in changes {
      let copy = try Copy(name)
      try copy.edit(json: "case.json") { $0[key] = value }
      expectUnreadable(copy, complaint)
    }
  }

  @Test func foldersWithoutReferenceData() throws {
    let empty = FileManager.default.temporaryDirectory.appendingPathComponent("empty-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: empty, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: empty) }
    for path in [empty, empty.appendingPathComponent("nowhere"), URL(filePath: #filePath)] {
      #expect(throws: ConformanceError.nothingAt(path: path.standardizedFileURL.path)) {
        _ = try Conformance.replay([path]) { _ in }
      }
    }
  }

  @Test func aCaseThatTheIndexListsMustBeThere() throws {
    let copy = try Copy(name)
    try AtomicFile.write(
      ["cases": [["name": "lost_case"], ["name": .string(name)]]],
      to: copy.root.appendingPathComponent("index.json"))
    var reports: [CaseReport] = []
    let verdict = try Conformance.replay([copy.root]) { reports.append($0) }
    #expect(reports.map(\.name) == ["lost_case", name] && reports.map(\.agrees) == [false, true])
    #expect(verdict.text == "conformance: FAILED: 1 of 2 cases unreadable")
  }
}
