import Checkpoints
import Foundation
import TensorCore
import Testing

@Suite("Checkpoint store")
struct CheckpointStoreTests {
  private static let state: [String: JSON] = ["seed": 42, "loss": 0.1, "metrics": ["best": nil]]

  private static func tensors(_ step: Int) -> [(String, Tensor)] {
    [
      ("p", Tensor([Float(step), 1], shape: [2])),
      ("adam.m/p", Tensor([Float(0.5), -Float(step)], shape: [2])),
    ]
  }

  private func withStore(saving steps: [Int], _ body: (CheckpointStore) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let store = CheckpointStore(runFolder: folder)
      for step in steps { try Self.save(step, in: store) }
      try body(store)
    }
  }

  @discardableResult
  private static func save(
    _ step: Int, in store: CheckpointStore, keep: Int = 9, protected: Set<Int> = []
  ) throws -> URL {
    try store.save(step: step, tensors: tensors(step), state: state, keep: keep, protected: protected)
  }

  private func entries(_ store: CheckpointStore) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: store.url.path).sorted()
  }

  private func newestStep(_ store: CheckpointStore) throws -> Int? {
    let (checkpoint, _) = try store.newestValid()
    return checkpoint?.step
  }

  /// Changes the file `name` of the checkpoint of `step`.
  private func damage(
    _ store: CheckpointStore, _ step: String, _ name: String, _ change: (inout [UInt8]) -> Void
  )
    throws
  {
    let url = store.url.appendingPathComponent("step-\(step)/\(name)")
    var bytes = try [UInt8](Data(contentsOf: url))
    change(&bytes)
    try Data(bytes).write(to: url)
  }

  @Test func whatIsSavedIsFound() throws {
    try withStore(saving: [7, 120]) { store in
      let (checkpoint, warnings) = try store.newestValid()
      let found = try #require(checkpoint)
      #expect(warnings.isEmpty)
      #expect(found.step == 120 && found.url.lastPathComponent == "step-000120")
      #expect(found.state.members == Self.state)
      #expect(try found.tensors.tensor("p").values == [120, 1])
      #expect(try found.tensors.tensor("adam.m/p").values == [0.5, -120])
      #expect(try store.steps() == [7, 120])
      #expect(try entries(store) == ["step-000007", "step-000120"])
    }
  }

  @Test func noRunYet() throws {
    let (checkpoint, warnings) = try CheckpointStore(runFolder: URL(fileURLWithPath: "/nowhere"))
      .newestValid()
    #expect(checkpoint == nil && warnings.isEmpty)
  }

  @Test func theSameStepAgainReplaces() throws {
    try withStore(saving: [5]) { store in
      try store.save(step: 5, tensors: Self.tensors(6), state: ["again": true], keep: 1)
      let found = try #require(try store.newestValid().checkpoint)
      #expect(found.state["again"] == true)
      #expect(try found.tensors.tensor("p").values == [6, 1])
      #expect(try entries(store) == ["step-000005"])
    }
  }

  @Test func stepsBeyondSixDigitsKeepTheirOrder() throws {
    try withStore(saving: [999_999, 1_000_000]) { store in
      #expect(try store.steps() == [999_999, 1_000_000])
      let newest = try newestStep(store)
      #expect(newest == 1_000_000)
    }
  }

  @Test func theNewestAndTheProtectedStay() throws {
    try withStore(saving: [1, 2, 3, 4]) { store in
      try Self.save(5, in: store, keep: 2, protected: [2])
      #expect(try store.steps() == [2, 4, 5])
      try Self.save(6, in: store, keep: 1)
      #expect(try entries(store) == ["step-000006"])
    }
  }

  /// After a fall back to an older state, the damaged future must not push out what is saved now.
  @Test func laterStepsDoNotCount() throws {
    try withStore(saving: [10, 30]) { store in
      try damage(store, "000030", "manifest.json") { $0 = [] }
      try Self.save(20, in: store, keep: 1)
      #expect(try store.steps() == [20, 30])
      #expect(try newestStep(store) == 20)
    }
  }

  @Test func leftoversOfKilledRunsGoAtTheNextSave() throws {
    try withStore(saving: [1]) { store in
      for name in [".step-000002.partial-4711", ".step-000001.removed-4711"] {
        let folder = store.url.appendingPathComponent(name)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try "half".write("tensors.safetensors", in: folder)
      }
      let before = try store.newestValid()
      #expect(before.checkpoint?.step == 1 && before.warnings.isEmpty)
      #expect(try entries(store).count == 3)
      try Self.save(3, in: store)
      #expect(try entries(store) == ["step-000001", "step-000003"])
    }
  }

  @Test func everyFlippedBitIsNoticed() throws {
    try withStore(saving: [1, 2]) { store in
      for name in ["tensors.safetensors", "manifest.json"] {
        let url = store.url.appendingPathComponent("step-000002/\(name)")
        let original = try [UInt8](Data(contentsOf: url))
        for place in stride(from: 0, to: original.count, by: 7) {
          try Data(original).write(to: url)
          try damage(store, "000002", name) { $0[place] ^= 1 }
          let found: (checkpoint: Checkpoint?, warnings: [String])
          do {
            found = try store.newestValid()
          } catch CheckpointError.futureFormat {
            continue
          }
          let byte = "byte \(place) of \(name)"
          if found.checkpoint?.step == 1 {
            #expect(found.warnings.count == 1 && found.warnings[0].contains("step-000002"), "\(byte)")
          } else {
            // White space of the manifest may change: nothing it says does.
            #expect(found.checkpoint?.state.members == Self.state && name == "manifest.json", "\(byte)")
          }
        }
        try Data(original).write(to: url)
      }
    }
  }

  @Test(arguments: [0, 1, 50, 200])
  func truncatedManifest(_ byteCount: Int) throws {
    try withStore(saving: [1, 2]) { store in
      try damage(store, "000002", "manifest.json") { $0 = Array($0.prefix(byteCount)) }
      let (checkpoint, warnings) = try store.newestValid()
      #expect(checkpoint?.step == 1)
      #expect(warnings.count == 1 && warnings[0].contains("step-000002 is damaged and passed over"))
    }
  }

  @Test func truncatedTensors() throws {
    try withStore(saving: [1, 2]) { store in
      try damage(store, "000002", "tensors.safetensors") { $0.removeLast() }
      let (checkpoint, warnings) = try store.newestValid()
      #expect(checkpoint?.step == 1)
      #expect(
        warnings.first?.contains("tensors.safetensors has 175 bytes, expected 176") == true, "\(warnings)")
    }
  }

  @Test(arguments: ["tensors.safetensors", "manifest.json"])
  func missingFile(_ name: String) throws {
    try withStore(saving: [1, 2]) { store in
      try FileManager.default.removeItem(at: store.url.appendingPathComponent("step-000002/\(name)"))
      let (checkpoint, warnings) = try store.newestValid()
      #expect(checkpoint?.step == 1)
      #expect(warnings.count == 1 && warnings[0].contains("step-000002/\(name)"))
    }
  }

  @Test func allDamaged() throws {
    try withStore(saving: [1, 2]) { store in
      for step in ["000001", "000002"] { try damage(store, step, "manifest.json") { $0 = Array("{}".utf8) } }
      let (checkpoint, warnings) = try store.newestValid()
      #expect(checkpoint == nil)
      #expect(warnings.count == 2)
    }
  }

  @Test func aFolderUnderTheNameOfAnotherStep() throws {
    try withStore(saving: [1, 2]) { store in
      try FileManager.default.moveItem(
        at: store.url.appendingPathComponent("step-000001"),
        to: store.url.appendingPathComponent("step-000009"))
      let (checkpoint, warnings) = try store.newestValid()
      #expect(checkpoint?.step == 2)
      #expect(warnings.first?.contains("its manifest is that of step 1") == true)
    }
  }

  @Test func laterFormatsAreRefused() throws {
    try withStore(saving: [1, 2]) { store in
      let url = store.url.appendingPathComponent("step-000002/manifest.json")
      try AtomicFile.write(["format_version": 2, "anything": "else"], to: url)
      let error = try checkpointError { try store.newestValid() }
      #expect(error == .futureFormat(path: url.path, found: 2, supported: 1))
      #expect("\(error)".contains("newer program"))
    }
  }

  /// What cannot be looked at is an error, never "no checkpoint": a resumed run would start over.
  @Test func anUnlistableFolderIsNoEmptyOne() throws {
    try withTemporaryFolder { folder in
      try "in the way".write("checkpoints", in: folder)
      let error = try checkpointError { try CheckpointStore(runFolder: folder).newestValid() }
      #expect("\(error)" == "cannot list \(folder.path)/checkpoints: Not a directory (errno 20)")
    }
  }

  @Test func aFailedSaveLeavesTheOlderOnes() throws {
    try withTemporaryFolder { folder in
      try "in the way".write("checkpoints", in: folder)
      let error = try checkpointError { try Self.save(1, in: CheckpointStore(runFolder: folder)) }
      #expect("\(error)" == "cannot use \(folder.path)/checkpoints: expected a folder, found a file")
    }
  }
}
