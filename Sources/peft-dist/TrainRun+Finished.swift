import Checkpoints
import Diagnostics
import Foundation
import Training
import Yams

extension TrainRun {
  /// Whether the output folder holds this run, and finished; not where more steps are asked for than it has. Every rank
  /// must ask.
  ///
  /// - Throws: `TrainingError.changedSettings` if what is finished there had other settings that alter the result.
  func isFinished() throws -> Bool {
    let folder = URL(fileURLWithPath: flags.output)
    let summary = folder.appendingPathComponent(RunFolder.summaryName)
    var own = (world?.isFirst ?? true) && FileManager.default.fileExists(atPath: summary.path)
    if own {
      let summary = try JSONObject(file: summary)
      let isLonger = try configuration.totalSteps > summary.int("steps")
      if !flags.allowChangedSettings {
        try checkSame(
          as: folder.appendingPathComponent(RunFolder.configurationName), summary, besides: isLonger ? ["steps"] : [])
      }
      own = !isLonger
    }
    return try world.map { try $0.reduce(own ? 1 : 0, .sum) > 0 } ?? own
  }

  private func checkSame(as file: URL, _ summary: JSONObject, besides ignored: Set<String>) throws {
    let stored = try FinishedSettings(TextFile.read(file.path, as: "configuration of a finished run"))
    let now = try FinishedSettings(flags.yaml(configuration.settings.filter(\.altersResult)))
    let changed = now.differences(
      from: stored, in: configuration.settings.filter(\.altersResult).map(\.key).filter { !ignored.contains($0) })
    // The base and the number of examples are no flags; the summary has them.
    let others = configuration.settings.filter { TrainCommand.found.contains($0.key) }.compactMap { setting in
      summary[setting.key].flatMap { $0 == setting.value ? nil : (setting, $0) }
    }.map { "\($0.key): \($1.summary) in the finished run, \($0.value.summary) now" }
    guard !(changed + others).isEmpty else { return }
    throw TrainingError.changedSettings((changed + others).map { "\($0), in \(file.path)" })
  }
}

/// The settings of a `run.yaml` as text.
private struct FinishedSettings {
  private let values: [String: String]

  init(_ yaml: String) throws {
    let pairs = try Yams.compose(yaml: yaml)?.mapping?.compactMap { key, value -> (String, String)? in
      let text = value.scalar?.string ?? value.sequence.map { "\($0.compactMap(\.string))" }
      return key.scalar.flatMap { key in text.map { (key.string, $0) } }
    }
    values = Dictionary(pairs ?? [], uniquingKeysWith: { $1 })
  }

  func differences(from stored: FinishedSettings, in keys: [String]) -> [String] {
    keys.filter { values[$0] != stored.values[$0] }.map {
      "\($0): \(stored.values[$0] ?? "not set") in the finished run, \(values[$0] ?? "not set") now"
    }
  }
}
