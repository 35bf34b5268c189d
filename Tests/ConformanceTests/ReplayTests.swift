import Checkpoints
import Foundation
import Testing

@testable import Conformance

/// Everything in `Tests/Goldens` that the program can do, against the reference.
@Suite @MainActor struct ReplayTests {
  /// Everything but reports that something is not supported agrees; the numbers say that nothing went missing.
  private func replay(_ path: String) throws -> (agreeing: Int, notSupported: [String]) {
    var (agreeing, notSupported) = (0, [String]())
    _ = try Conformance.replay([Goldens.root.appendingPathComponent(path)]) { report in
      if case .notSupported = report.outcome {
        notSupported.append(report.name)
      } else {
        #expect(report.agrees, "\(report.text)")
        agreeing += report.agrees ? 1 : 0
      }
    }
    return (agreeing, notSupported)
  }

  @Test(arguments: Goldens.caseNames) func aCase(name: String) throws {
    let report = CaseReplay.report(Goldens.root.appendingPathComponent("cases/\(name)"))
    #expect(report.name == name)
    #expect(report.agrees, "\(report.text)")
  }

  @Test func everyCaseIsThere() throws {
    let index = try JSONObject(file: Goldens.root.appendingPathComponent("index.json"))
    let listed = try index.objects("cases").map { try $0.string("name") }
    #expect(listed.count >= 15 && Set(listed).isSubset(of: Goldens.caseNames))
  }

  @Test func aCaseComparesEveryQuantity() throws {
    func quantities(_ name: String) throws -> [String: Int] {
      let report = CaseReplay.report(Goldens.root.appendingPathComponent("cases/\(name)"))
      guard case .compared(let findings) = report.outcome else { return [:] }
      return Dictionary(uniqueKeysWithValues: findings.map { ($0.quantity, $0.comparedCount) })
    }
    let lora = try quantities("lora_qv_t5_v10")
    #expect(lora["logits"] == 3 * 5 * 512 && lora["grad"] == 4_608 && lora["final"] == 4_608)
    #expect(
      lora["losses"] == 6 && lora["grad norms"] == 5 && lora["lrs"] == 5 && lora["base unchanged"] == 47)
    #expect(lora["merged"] == 6 * 64 * 64 && lora["merged names"] == 12)
    let tuned = try quantities("ptuning_lstm_t5_v10")
    #expect(tuned["network output"] == 8 * 64 && (tuned["final"] ?? 0) > 8_272)
    let full = try quantities("full_t5_v10")
    #expect(full["final"] == 12 + 12 * 64 && full["grad first 16"] == 47 * 18)
    #expect(try quantities("clip_lora_qv_t5_v10")["clipped grad"] == 24 + 4_608)
    let accumulated = try quantities("accum_t5_v10")
    #expect(accumulated["micro-batch sums"] == 2 && accumulated["grad"] == 4_608)
  }

  @Test func generation() throws {
    var compared: [String: Int] = [:]
    _ = try Conformance.replay([Goldens.root.appendingPathComponent("generation")]) { report in
      guard case .compared(let findings) = report.outcome else { return }
      #expect(report.agrees, "\(report.text)")
      for finding in findings { compared[finding.quantity, default: 0] += finding.comparedCount }
      if report.name == "generation/beam_table" {
        // Every row of 163 configurations, and that there are as many.
        #expect(findings.map(\.comparedCount) == [2_047, 1_884])
      }
      if report.name == "generation/filters" {
        // 18 filters on five rows of 48 scores, the counts too, and the distribution of one.
        #expect(findings.map(\.comparedCount) == [18 * 5 * 49, 18 * 5 * 48, 5 * 48])
      }
    }
    // 21 greedy cases of three rows, 29 of beams, and the table.
    #expect(compared["sequences", default: 0] >= 2_300 && compared["scores", default: 0] >= 2_100)
  }

  @Test func buckets() throws {
    #expect(try replay("t5_buckets.json").agreeing == 1)
  }

  @Test func spanCorruption() throws {
    #expect(try replay("span_corruption.json").agreeing == 1)
  }

  @Test func optimizers() throws {
    let result = try replay("optim")
    #expect(result.agreeing == 13 + 3 + 10 + 5 && result.notSupported.isEmpty)
  }

  @Test func tokenizers() throws {
    let result = try replay("tokenizers")
    #expect(result.agreeing == 5 && result.notSupported.isEmpty)
  }

  @Test func scores() throws {
    #expect(try replay("metrics").agreeing >= 3)
  }

  @Test func operations() throws {
    let result = try replay("ops")
    #expect(result.agreeing == 6 && result.notSupported.isEmpty)
  }

  @Test func severalPathsMakeOneVerdict() throws {
    let paths = ["cases/prompt_t5_v10", "cases/prompt_t5_v11/case.json", "t5_buckets.json"]
    var names: [String] = []
    let verdict = try Conformance.replay(paths.map(Goldens.root.appendingPathComponent)) {
      names.append($0.name)
    }
    #expect(names == ["prompt_t5_v10", "prompt_t5_v11", "t5_buckets"])
    #expect(verdict.passed && verdict.text == "conformance: 3 of 3 cases agree")
  }
}

enum Goldens {
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Goldens", directoryHint: .isDirectory)

  /// Names of all case folders, whatever `index.json` lists.
  static let caseNames: [String] = {
    let cases = root.appendingPathComponent("cases").path
    return ((try? FileManager.default.contentsOfDirectory(atPath: cases)) ?? []).sorted()
  }()
}
