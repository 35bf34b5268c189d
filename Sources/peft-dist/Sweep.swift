import Checkpoints
import Collectives
import Diagnostics
import Foundation
import NN
import Reporting
import Tasks
import Training

/// The members of a sweep, rung by rung.
///
/// As many members as there are ranks train at once, each on one rank by itself; what is left over, and the last few, train
/// on all ranks together. A run's bytes do not depend on the ranks, so where a member trains makes no difference, and each
/// goes on at the next rung from its checkpoint wherever that is. Ranks meet when a rung is done: all learn all scores and
/// draw the same conclusion. The folder must be the same one for all ranks.
@MainActor
struct Sweep {
  private let command: SweepCommand
  private let members: [SweepMember]
  private let world: World
  private var output: URL { URL(fileURLWithPath: command.train.output) }

  init(_ command: SweepCommand, world: World) throws {
    self.command = command
    self.world = world
    members = try command.members()
  }

  /// What all members have in common.
  private struct Ground {
    let place: Workplace
    let identity: NumericIdentity
    let metric: TaskMetric
    let halving: SuccessiveHalving
  }

  func run() throws -> TrainRun.Outcome {
    let isDry = command.train.dryRun
    let lock = try world.isFirst && !isDry ? GroupFolder.take(output, resume: command.train.resume) : nil
    defer { withExtendedLifetime(lock) {} }
    let ground = try prepare()
    describe(ground.halving)
    guard !isDry else { return .done }
    if try world.reduce(world.isFirst && Leaderboard.exists(in: output) ? 1 : 0, .sum) > 0 {
      RunLog.notice("the sweep in \(output.path) is finished; nothing to do")
      return .done
    }
    var left = members.map(\.number)
    for (rung, step) in ground.halving.rungs.enumerated() {
      guard let scores = try train(left, to: step, rung: rung, ground) else { return .stopped }
      let isLast = rung == ground.halving.rungs.count - 1
      left =
        isLast
        ? left
        : ground.halving.survivors(of: left, scores: scores, largerIsBetter: ground.metric.largerIsBetter)
      tell(rung, step, scores, goOn: isLast ? [] : left, ground)
    }
    try world.barrier()
    guard world.isFirst else { return .done }
    PhaseBoard.enter("writing the leaderboard")
    let board = try Leaderboard(members, flags: command.train, halving: ground.halving, metric: ground.metric)
    try board.keepBestAdapter(in: output)
    try writeReport(board, ground.metric)
    try board.write(to: output)
    print(board.table)
    print("")
    print("adapter \(output.appendingPathComponent("adapter").path)")
    print("sha256  \(board.best?.adapterSHA256 ?? "")")
    return .done
  }

  // MARK: Before the first step

  /// Loads what is shared, on all ranks together.
  private func prepare() throws -> Ground {
    let run = try TrainRun(members[0].flags(of: command.train), world: world)
    guard try run.hasValidation() else { throw SweepError.noValidation }
    let halving = SuccessiveHalving(
      memberCount: members.count, totalSteps: run.configuration.totalSteps, eta: command.halvingEta,
      minSteps: command.minSteps)
    if world.isFirst, !command.train.dryRun { try keepPlan(halving, of: run) }
    try run.describe()
    return Ground(
      place: run.place, identity: try run.measuredIdentity(), metric: run.task.metric, halving: halving)
  }

  /// Writes `sweep.json`, or compares it: another grid, or other settings of the members, are another sweep.
  ///
  /// - Parameter run: of the first member.
  private func keepPlan(_ halving: SuccessiveHalving, of run: TrainRun) throws {
    let settings = run.configuration.settings.filter(\.altersResult).map { ($0.key, $0.value) }
    let grid: [String: JSON] = [
      "members": .array(members.map { .object($0.json) }), "rungs": .array(halving.rungs.map { .integer($0) }),
      "halving_eta": .integer(halving.eta),
    ]
    let plan = JSON.object(
      grid.merging(["settings_of_first": .object(Dictionary(uniqueKeysWithValues: settings))]) { $1 })
    let url = output.appendingPathComponent("sweep.json")
    guard FileManager.default.fileExists(atPath: url.path) else { return _ = try AtomicFile.write(plan, to: url) }
    let stored = try JSONObject(file: url)
    let before = try stored.optionalObject("settings_of_first")?.members ?? [:]
    let changed = settings.filter { $1 != before[$0] ?? .null }.map { key, value in
      "\(key): \(before[key]?.summary ?? "not set") in \(url.path), \(value.summary) now"
    }
    guard changed.isEmpty || command.train.allowChangedSettings else { throw TrainingError.changedSettings(changed) }
    guard grid.allSatisfy({ stored[$0] == $1 }) else {
      throw TrainingError.changedSettings(["members, steps or --halving-eta: not those of \(url.path)"])
    }
  }

  private func describe(_ halving: SuccessiveHalving) {
    RunLog.notice(
      "\(members.count) members on \(world.size) rank\(world.size == 1 ? "" : "s"); rungs at steps "
        + halving.rungs.map(String.init).joined(separator: ", ")
        + (halving.rungs.count > 1 ? "; after each but the last the best 1 of \(halving.eta) go on" : ""))
  }

  // MARK: One rung

  /// Trains `left` to `step`. Every rank gets all scores; nil if a signal stopped some rank.
  private func train(_ left: [Int], to step: Int, rung: Int, _ ground: Ground) throws -> [Int: Double]? {
    var scores = try knownScores(of: left, at: step)
    let due = left.filter { scores[$0] == nil }
    let aloneCount = due.count / world.size * world.size
    let own = due[..<aloneCount].enumerated().filter { $0.offset % world.size == world.rank }.map(\.element)
    var found: [Int: Double] = [:]
    var isStopped = false
    for (done, number) in own.enumerated() where !isStopped {
      RunLog.notice("rung \(rung + 1): member \(number), \(done + 1) of \(own.count) on this rank")
      found[number] = try quietly { try train(number, to: step, rung: rung, on: nil, ground) }
      isStopped = found[number] == nil
    }
    isStopped = try meet(&scores, found, isStopped: isStopped)
    for number in due[aloneCount...] where !isStopped {
      RunLog.notice("rung \(rung + 1): member \(number), on all ranks")
      let score = try train(number, to: step, rung: rung, on: world, ground)
      isStopped = try meet(&scores, world.isFirst ? score.map { [number: $0] } ?? [:] : [:], isStopped: score == nil)
    }
    return isStopped ? nil : scores
  }

  /// Trains one member up to a step, from where it is, and judges it. nil if a signal came.
  private func train(
    _ number: Int, to step: Int, rung: Int, on world: World?, _ ground: Ground
  ) throws -> Double? {
    let isStopping = StopRequest.isPending
    if let world { if try world.reduce(isStopping ? 1 : 0, .sum) > 0 { return nil } } else if isStopping { return nil }
    var flags = members[number - 1].flags(of: command.train)
    flags.resume = rung > 0 || command.train.resume
    // Ranks of one machine would each take half of its memory.
    if world == nil, self.world.localSize > 1, flags.cache.limit == .automatic { flags.cache.activationCache = "off" }
    let run = try TrainRun(flags, world: world, place: ground.place)
    let folder = URL(fileURLWithPath: flags.output)
    let isLast = step == run.configuration.totalSteps
    var score = Double.nan
    do {
      switch try run.run(until: isLast ? .max : step, identity: ground.identity, printsResult: false) {
      case .stopped: return nil
      case .paused(let value): score = value
      case .done:
        if world?.isFirst ?? true { score = try Self.finalScore(in: folder, ground.metric) }
      }
    } catch let error as TrainingError {
      // A member that left the finite numbers has lost; all ranks of its run meet it together.
      guard error.isDivergence else { throw error }
      RunLog.warning("member \(number) has lost: \(error)")
    }
    if world?.isFirst ?? true {
      var scores = try SweepScores(folder: folder)
      try scores.note(score, step: step, in: folder)
    }
    return score
  }

  /// The best evaluation of a finished run: that of its adapter.
  private static func finalScore(in folder: URL, _ metric: TaskMetric) throws -> Double {
    let summary = try JSONObject(file: folder.appendingPathComponent(RunFolder.summaryName))
    return try summary.optionalDouble("best_eval_\(metric.name)") ?? .nan
  }

  /// Only rank 0 speaks, and of what it trains alone only how it ends.
  private func quietly<Result>(_ body: () throws -> Result) rethrows -> Result {
    let before = RunLog.isQuiet
    RunLog.isQuiet = true
    defer { RunLog.isQuiet = before }
    return try body()
  }

  /// What rank 0 finds written of this rung, on every rank.
  private func knownScores(of left: [Int], at step: Int) throws -> [Int: Double] {
    var own: [Int: Double] = [:]
    if world.isFirst {
      for number in left {
        let folder = URL(fileURLWithPath: members[number - 1].flags(of: command.train).output)
        own[number] = try SweepScores(folder: folder).byStep[step]
      }
    }
    return Self.scores(try world.broadcast(Self.text(own)))
  }

  /// All ranks learn what each has found, and whether one was asked to stop.
  private func meet(_ scores: inout [Int: Double], _ found: [Int: Double], isStopped: Bool) throws -> Bool {
    PhaseBoard.enter("meeting after the members of a rung")
    for text in try world.gatherAtAll(Self.text(found)) { scores.merge(Self.scores(text)) { $1 } }
    return try world.reduce(isStopped ? 1 : 0, .sum) > 0
  }

  /// Scores travel as the bits of the numbers.
  private static func text(_ scores: [Int: Double]) -> String {
    scores.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value.bitPattern)" }.joined(separator: " ")
  }

  private static func scores(_ text: String) -> [Int: Double] {
    let pairs = text.split(separator: " ").compactMap { pair -> (Int, Double)? in
      let parts = pair.split(separator: ":")
      guard parts.count == 2, let number = Int(parts[0]), let bits = UInt64(parts[1]) else { return nil }
      return (number, Double(bitPattern: bits))
    }
    return Dictionary(pairs, uniquingKeysWith: { $1 })
  }

  // MARK: What is told

  private func tell(_ rung: Int, _ step: Int, _ scores: [Int: Double], goOn: [Int], _ ground: Ground) {
    let ranked = SuccessiveHalving.ranked(
      scores.keys.sorted(), scores: scores, largerIsBetter: ground.metric.largerIsBetter)
    guard let best = ranked.first, let score = scores[best] else { return }
    RunLog.notice(
      "rung \(rung + 1) of \(ground.halving.rungs.count), step \(step): best of \(ranked.count) is member \(best), "
        + "\(ground.metric.name) \(ReadableNumbers.loss(score))"
        + (goOn.isEmpty ? "" : "; going on: \(goOn.map(String.init).joined(separator: ", "))"))
  }

  /// Table and plots of the first dozen of the leaderboard.
  private func writeReport(_ board: Leaderboard, _ metric: TaskMetric) throws {
    let runs = try board.entries.prefix(12).map { entry in
      try RunRecord(
        folder: output.appendingPathComponent("members/\(entry.member.name)"),
        name: "\(entry.member.name) \(board.difference(of: entry.member))", metric: metric.name)
    }
    let title = "Sweep of \(members.count): \(command.train.method.method) on \(command.train.data.task ?? "")"
    try RunReport(title: title, runs: runs).write(to: output, name: "report")
  }
}

/// Why a sweep has no result.
enum SweepError: DescribedError {
  case noValidation
  case noFiniteScore(metric: String)

  var description: String {
    switch self {
    case .noValidation:
      "a sweep chooses by validation data, and there is none: give --eval-file, or a --validation-fraction above 0"
    case .noFiniteScore(let metric):
      "no member of the sweep has a finite \(metric): lower --learning-rates, or look at a member by `train`"
    }
  }
}
