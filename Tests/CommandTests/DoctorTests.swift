import Checkpoints
import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import peft_dist

/// What `doctor` finds on machines that lack something, and what it leaves alone.
@Suite struct DoctorTests {
  private func folder() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appending(path: "peft-dist-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
  }

  private func make(_ path: String, in folder: URL, hoursOld: Double = 3) throws {
    let file = folder.appending(path: path)
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(repeating: 7, count: 1000).write(to: file)
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSinceNow: -3600 * hoursOld)], ofItemAtPath: file.path)
  }

  @Test func leftoversAreWhatNobodyWritesAnyMore() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(at: folder) }
    // The largest process number is 2^22, so this one is not alive.
    let gone = 999_999_999
    try make("run.yaml", in: folder)
    try make("adapter/.adapter_model.safetensors.partial-\(gone)-3", in: folder)
    try make("packed/abc.partial-\(gone)", in: folder)
    try make("adapter/.adapter_config.json.partial-\(getpid())-1", in: folder)
    try make("adapter/.fresh.partial-\(gone)-1", in: folder, hoursOld: 0)
    try make("notes.partial-text", in: folder)
    try make("activations/activations-\(UUID().uuidString)", in: folder)
    try make("activations/activations-\(UUID().uuidString)", in: folder, hoursOld: 0)
    try make("activations/activations-mine", in: folder)
    let partials = LeftoverExamination.partials(in: folder).map { URL(filePath: $0).lastPathComponent }
    #expect(partials.sorted() == [".adapter_model.safetensors.partial-\(gone)-3", "abc.partial-\(gone)"])
    #expect(LeftoverExamination.activations(in: [folder.appending(path: "activations")]).count == 1)
    #expect(LeftoverExamination.partials(in: folder.appending(path: "nix")).isEmpty)
  }

  @Test func cachesAreCountedByPart() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(at: folder) }
    try make("tokens/a", in: folder)
    try make("tokens/b/c", in: folder)
    try make("packed/d", in: folder)
    var report = MachineReport()
    FolderExamination.examineCaches(folder, &report)
    let fact = try #require(report.facts.first)
    #expect(fact.text == "\(folder.path), 3.0 kB (packed 1.0 kB, tokens 2.0 kB)")
    #expect(report.findings.isEmpty)
    var broken = MachineReport()
    FolderExamination.examineCaches(folder.appending(path: "tokens/a/cache"), &broken)
    #expect(broken.findings.map(\.severity) == [.problem])
    #expect(broken.findings.first?.text.contains("/tokens/a/cache: Not a directory") == true)
  }

  @Test func everyLimitNamesItsFix() {
    typealias Machine = (available: Int?, group: Int?, limits: ResourceLimits)
    func findings(_ change: (inout Machine) -> Void) -> [MachineReport.Finding] {
      let ample = 64 << 30
      var machine: Machine = (ample, ample, ResourceLimits(openFiles: 1024, processes: 1 << 15))
      change(&machine)
      var report = MachineReport()
      LimitExamination.findings(available: machine.available, group: machine.group, machine.limits, &report)
      return report.findings
    }
    #expect(findings { _ in }.isEmpty)
    #expect(findings { $0 = (nil, nil, ResourceLimits()) }.isEmpty)
    #expect(findings { $0.available = 1 << 30 }.map(\.text) == ["only 1.1 GB of memory are available"])
    #expect(findings { $0.group = 1 << 30 }.first?.fix.contains("docker --memory") == true)
    #expect(findings { $0.limits.addressSpace = 1 << 30 }.first?.fix == "ulimit -v unlimited")
    #expect(findings { $0.limits.openFiles = 64 }.first?.fix == "ulimit -n 1024")
    #expect(findings { $0.limits.processes = 64 }.first?.fix == "ulimit -u 4096")
  }

  @Test func sharedMemoryForTheRanks() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(at: folder) }
    var report = MachineReport()
    FolderExamination.examineSharedMemory(folder.path, ranks: 1, &report)
    FolderExamination.examineSharedMemory(folder.path, ranks: 1 << 30, &report)
    FolderExamination.examineSharedMemory(folder.path + "/nix", ranks: 2, &report)
    #expect(report.findings.map(\.severity) == [.problem, .problem])
    #expect(report.findings.first?.fix.contains("--shm-size") == true)
    #expect(report.findings.last?.text.contains("there is no \(folder.path)/nix") == true)
  }

  /// One JSON document with every rank, whose verdict is that of the exit code.
  @Test func printsJSON() throws {
    let tiny = try TinyRun()
    let run = try tiny.run(["doctor", "--json", "--output", tiny.folder.path], ranks: 2)
    guard case .object(let members) = try JSON.decode(run.output.utf8, origin: "doctor"),
      case .array(let ranks)? = members["ranks"], case .object(let first)? = ranks.first,
      case .object(let second)? = ranks.last, case .bool(let healthy)? = members["healthy"]
    else {
      Issue.record("\(run.output)\(run.errors)")
      return
    }
    #expect(run.exitCode == (healthy ? 0 : 1))
    #expect(ranks.count == 2 && first["rank"] == 0 && second["rank"] == 1)
    let ofEach = [
      "cpu", "kernels", "openblas", "onednn", "sentencepiece", "mpi", "precisions", "products", "identity", "cores",
      "memory", "limits",
    ]
    for key in ofEach {
      #expect(first[key] != nil && second[key] != nil, "no \(key)")
    }
    // What the ranks of a machine share is told once.
    for key in ["shared_memory", "output", "caches", "leftovers"] {
      #expect(first[key] != nil && second[key] == nil, "\(key)")
    }
  }
}
