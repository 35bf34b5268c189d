import Checkpoints
import Foundation

/// Replays reference data against this program and says how far the numbers are apart.
///
/// The reference data lies in one folder: `cases/NAME/case.json`, `generation`, `optim`, `ops`, `metrics`,
/// `tokenizers`, and `models`, which the paths in the files are relative to.
@MainActor
public enum Conformance {
  /// Replays everything at `paths`: case folders, single folders or files of the reference data, or all of it.
  ///
  /// - Parameter onReport: called with the result of each case as soon as it is there.
  /// - Throws: `ConformanceError.nothingAt` for a path that holds no reference data.
  public static func replay(_ paths: [URL], onReport: (CaseReport) -> Void) throws -> Verdict {
    var verdict = Verdict()
    for path in paths {
      for step in try steps(path.standardizedFileURL) {
        for report in reports(step) {
          verdict.record(report)
          onReport(report)
        }
      }
    }
    return verdict
  }

  /// One thing to replay, under the name its error is reported by.
  private struct Step {
    let name: String
    let run: @MainActor () throws -> [CaseReport]
  }

  private static func reports(_ step: Step) -> [CaseReport] {
    do {
      return try step.run()
    } catch {
      return [CaseReport(step.name, .unreadable(reason: "\(error)"))]
    }
  }

  /// What kind of reference data `path` is shows in the files it holds.
  private static func steps(_ path: URL) throws -> [Step] {
    func has(_ name: String) -> Bool { ReferenceRoot.exists(path.appendingPathComponent(name)) }
    let name = path.lastPathComponent
    guard ReferenceRoot.isFolder(path) else { return [try fileStep(path)] }
    if has("case.json") || path.deletingLastPathComponent().lastPathComponent == "cases" {
      return [caseStep(path)]
    }
    if has("models") { return try rootSteps(path) }
    if has("generation.json") { return [Step(name: name) { try GenerationReplay.reports(path) }] }
    if has("metrics.json") { return [Step(name: name) { try MetricReplay.reports(path) }] }
    if ["optim.json", "clip.json", "schedules.json", "gradscaler.json"].contains(where: has) {
      return [Step(name: name) { try OptimizerReplay.reports(path) }]
    }
    if ["activations.safetensors", "bilstm.safetensors"].contains(where: has) {
      return [Step(name: name) { try OperationReplay.reports(path) }]
    }
    let contents = try FileManager.default.contentsOfDirectory(atPath: path.path)
    if contents.contains(where: { $0.hasSuffix("_goldens.json") }) {
      return [Step(name: name) { try TokenizerReplay.reports(path) }]
    }
    let folders = try ReferenceRoot.folders(in: path)
    if name == "cases"
      || folders.contains(where: { ReferenceRoot.exists($0.appendingPathComponent("case.json")) })
    {
      return folders.map(caseStep)
    }
    throw ConformanceError.nothingAt(path: path.path)
  }

  private static func caseStep(_ folder: URL) -> Step {
    Step(name: folder.lastPathComponent) { [CaseReplay.report(folder)] }
  }

  private static func fileStep(_ path: URL) throws -> Step {
    guard ReferenceRoot.exists(path) else { throw ConformanceError.nothingAt(path: path.path) }
    switch path.lastPathComponent {
    case "t5_buckets.json": return Step(name: "t5_buckets") { [OperationReplay.bucketReport(path)] }
    case "span_corruption.json":
      return Step(name: "span_corruption") {
        [CaseReport("span_corruption") { try SpanCorruptionReplay.findings(path) }]
      }
    case "case.json": return caseStep(path.deletingLastPathComponent())
    default: throw ConformanceError.nothingAt(path: path.path)
    }
  }

  /// Everything below the root; a case that `index.json` lists must be there.
  private static func rootSteps(_ root: URL) throws -> [Step] {
    var steps: [Step] = []
    let cases = root.appendingPathComponent("cases")
    var names =
      ReferenceRoot.isFolder(cases) ? Set(try ReferenceRoot.folders(in: cases).map(\.lastPathComponent)) : []
    let index = root.appendingPathComponent("index.json")
    if ReferenceRoot.exists(index) {
      names.formUnion(try JSONObject(file: index).objects("cases").map { try $0.string("name") })
    }
    steps += names.sorted().map { caseStep(cases.appendingPathComponent($0)) }
    for part in [
      "generation", "metrics", "ops", "optim", "tokenizers", "t5_buckets.json", "span_corruption.json",
    ] {
      let url = root.appendingPathComponent(part)
      if ReferenceRoot.exists(url) { steps += try self.steps(url) }
    }
    guard !steps.isEmpty else { throw ConformanceError.nothingAt(path: root.path) }
    return steps
  }
}
