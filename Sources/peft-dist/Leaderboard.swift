import Checkpoints
import Diagnostics
import Foundation
import Tasks
import Training

/// The members of a sweep from the best to the worst: a pure function of their folders.
///
/// Who came further stands higher; of those who came equally far the better score counts, of equal scores the lower number.
struct Leaderboard {
  struct Entry {
    let member: SweepMember
    /// By step of the rung.
    let scores: [Int: Double]
    /// Of its adapter; nil if it did not come to the end.
    let adapterSHA256: String?

    /// How far it came.
    var step: Int { scores.keys.max() ?? 0 }
    var score: Double { scores[step] ?? .nan }
  }

  let entries: [Entry]
  let metric: TaskMetric
  let rungs: [Int]

  init(
    _ members: [SweepMember], flags: TrainCommand, halving: SuccessiveHalving, metric: TaskMetric
  ) throws {
    self.metric = metric
    rungs = halving.rungs
    let all = try members.map { member in
      let folder = URL(fileURLWithPath: member.flags(of: flags).output)
      let summary = folder.appendingPathComponent(RunFolder.summaryName)
      let isFinished = FileManager.default.fileExists(atPath: summary.path)
      return Entry(
        member: member, scores: try SweepScores(folder: folder).byStep,
        adapterSHA256: isFinished ? try JSONObject(file: summary).string("adapter_sha256") : nil)
    }
    entries = Set(all.map(\.step)).sorted(by: >).flatMap { step in
      let level = Dictionary(uniqueKeysWithValues: all.filter { $0.step == step }.map { ($0.member.number, $0) })
      let ranked = SuccessiveHalving.ranked(
        level.keys.sorted(), scores: level.mapValues(\.score), largerIsBetter: metric.largerIsBetter)
      return ranked.compactMap { level[$0] }
    }
  }

  static func exists(in output: URL) -> Bool {
    FileManager.default.fileExists(atPath: output.appendingPathComponent("leaderboard.json").path)
  }

  /// The first, if it came to the end with a finite score.
  var best: Entry? { entries.first.flatMap { $0.score.isFinite && $0.adapterSHA256 != nil ? $0 : nil } }

  // MARK: Files

  /// Copies the best member's adapter to `adapter/`.
  ///
  /// - Throws: `SweepError.noFiniteScore`.
  func keepBestAdapter(in output: URL) throws {
    guard let best else { throw SweepError.noFiniteScore(metric: metric.name) }
    let (target, partial) = (
      output.appendingPathComponent("adapter"), output.appendingPathComponent(".adapter.partial")
    )
    for old in [partial, target] where FileManager.default.fileExists(atPath: old.path) {
      try FileManager.default.removeItem(at: old)
    }
    try FileManager.default.copyItem(
      at: output.appendingPathComponent("members/\(best.member.name)/adapter"), to: partial)
    try FileManager.default.moveItem(at: partial, to: target)
  }

  /// `leaderboard.md`, then `leaderboard.json`: with it the sweep is finished.
  func write(to output: URL) throws {
    try AtomicFile.write(
      Array("# Leaderboard\n\n\(table)\n".utf8), to: output.appendingPathComponent("leaderboard.md"))
    try AtomicFile.write(json, to: output.appendingPathComponent("leaderboard.json"))
  }

  var json: JSON {
    [
      "metric": .string(metric.name), "metric_larger_is_better": .bool(metric.largerIsBetter),
      "rungs": .array(rungs.map { .integer($0) }), "best": best.map { .integer($0.member.number) } ?? .null,
      "adapter_sha256": best?.adapterSHA256.map { .string($0) } ?? .null,
      "members": .array(
        entries.enumerated().map { index, entry in
          let scores = entry.scores.map { ("\($0)", $1.isFinite ? JSON.double($1) : .null) }
          let own: [String: JSON] = [
            "place": .integer(index + 1), "steps": .integer(entry.step),
            "score": entry.score.isFinite ? .double(entry.score) : .null,
            "scores": .object(Dictionary(uniqueKeysWithValues: scores)),
            "adapter_sha256": entry.adapterSHA256.map { .string($0) } ?? .null,
          ]
          return .object(entry.member.json.merging(own) { $1 })
        }),
    ]
  }

  // MARK: Text

  /// The table in Markdown.
  var table: String {
    let titles = ["place", "member"] + dimensions.map(\.title) + ["steps", metric.name]
    let rows = entries.enumerated().map { index, entry in
      ["\(index + 1)", entry.member.name] + dimensions.map { $0.text(entry.member) }
        + ["\(entry.step)", ReadableNumbers.loss(entry.score)]
    }
    let widths = titles.indices.map { column in ([titles] + rows).map { $0[column].count }.max() ?? 0 }
    func line(_ cells: [String]) -> String {
      "| "
        + zip(cells, widths).map { String(repeating: " ", count: $1 - $0.count) + $0 }.joined(separator: " | ") + " |"
    }
    let rule = "|" + widths.map { String(repeating: "-", count: $0 + 1) + ":" }.joined(separator: "|") + "|"
    return ([line(titles), rule] + rows.map(line)).joined(separator: "\n")
  }

  /// What a member has of its own, in short.
  func difference(of member: SweepMember) -> String {
    dimensions.map { "\($0.short)\($0.text(member))" }.joined(separator: " ")
  }

  private typealias Dimension = (title: String, short: String, text: (SweepMember) -> String)

  /// Those in which members differ; the learning rate in any case.
  private var dimensions: [Dimension] {
    let all: [Dimension] = [
      ("learning rate", "", { $0.learningRate.map { "\($0)" } ?? "default" }),
      ("virtual tokens", "P", { "\($0.virtualTokens)" }), ("start", "", { $0.promptInit }),
      ("seed", "seed ", { "\($0.seed)" }),
    ]
    return all.enumerated().filter { index, dimension in
      index == 0 || Set(entries.map { dimension.text($0.member) }).count > 1
    }.map(\.element)
  }
}
