import ArgumentParser
import Foundation

struct SweepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sweep",
    abstract: "Search learning rates, seeds, prompt lengths and initialisations; bad ones stop early.",
    discussion: """
      Every combination is a member: a run of its own in --output members/NNN, with the bytes of the same `train`. Under MPI \
      the members are spread over the ranks, which share the base; after each rung the best of them go on (successive \
      halving). Writes leaderboard.md, .json, a report of the best, and adapter/, that of the best member.

        mpirun -n 8 peft-dist sweep --method prompt-tuning --learning-rates 0.03,0.1,0.3 --seeds 1,2 \
      --prompt-inits random,vocabulary --steps 900 --model t5-small --task imdb --data-dir imdb --output runs/sweep
      """)

  @Option(help: ArgumentHelp("Peak learning rates (default: --learning-rate).", valueName: "x,y"))
  var learningRates: String?
  @Option(help: ArgumentHelp("Seeds (default: --seed).", valueName: "n,m"))
  var seeds: String?
  @Option(help: ArgumentHelp("Numbers of virtual tokens (default: --virtual-tokens).", valueName: "n,m"))
  var virtualTokenCounts: String?
  @Option(
    help: ArgumentHelp(
      "Starts of the prompt (default: --prompt-init): random, vocabulary, class-labels; text and file besides with "
        + "--prompt-init text or file.", valueName: "a,b"))
  var promptInits: String?
  @Option(help: ArgumentHelp("So many of the combinations, drawn at random by --seed (default: all).", valueName: "n"))
  var trials: Int?
  @Option(
    help: ArgumentHelp(
      "One of so many members goes on after a rung, and each rung is so many times as long; 1: all run to the end.",
      valueName: "n"))
  var halvingEta = 3
  @Option(help: ArgumentHelp("Steps of the first rung, at least.", valueName: "n"))
  var minSteps = 1
  @OptionGroup var train: TrainCommand

  func validate() throws {
    try OptionRanges.check([("--halving-eta", halvingEta, 1), ("--min-steps", minSteps, 1), ("--trials", trials, 1)])
    guard train.evalEvery != 0 else {
      throw ValidationError("--eval-every 0 does not go with sweep: members are judged on validation data")
    }
    guard learningRates == nil || train.learningRateOf == nil else {
      throw ValidationError("--learning-rates and --learning-rate-of exclude each other")
    }
    guard train.initAdapter == nil || virtualTokenCounts == nil && promptInits == nil else {
      throw ValidationError(
        "--init-adapter does not go with --virtual-token-counts and --prompt-inits: the adapter's options count")
    }
    let methods = Set(train.method.method.split(separator: "+"))
    guard virtualTokenCounts == nil || methods.contains(where: { $0.hasPrefix("p") }) else {
      throw ValidationError("--virtual-token-counts: --method \(train.method.method) has no virtual tokens")
    }
    guard promptInits == nil || methods.contains("prompt-tuning") else {
      throw ValidationError("--prompt-inits belongs to --method prompt-tuning, not to \(train.method.method)")
    }
    for member in try members() { try member.flags(of: train).check(flag: "--method") }
  }

  /// All combinations, or those that were drawn.
  func members() throws -> [SweepMember] {
    let grid = SweepGrid(
      learningRates: try Self.list(learningRates, "--learning-rates", "numbers from 0") { text in
        Double(text).flatMap { $0 >= 0 && $0.isFinite ? $0 : nil }
      }.map { $0.map(Optional.some) } ?? [train.learningRate],
      seeds: try Self.list(seeds, "--seeds", "whole numbers from 0") {
        UInt64($0).flatMap { $0 <= TrainCommand.largestSeed ? $0 : nil }
      } ?? [train.seed],
      virtualTokenCounts: try Self.list(virtualTokenCounts, "--virtual-token-counts", "whole numbers from 1") { text in
        Int(text).flatMap { $0 >= 1 ? $0 : nil }
      } ?? [train.method.virtualTokens],
      promptInits: try Self.list(promptInits, "--prompt-inits", "names") { $0.isEmpty ? nil : String($0) }
        ?? [train.method.promptInit])
    guard grid.count <= SweepGrid.mostMembers else {
      throw ValidationError("\(grid.count) combinations: expected at most \(SweepGrid.mostMembers)")
    }
    return grid.members(trials: trials, seed: train.seed)
  }

  /// The values of a comma-separated flag; nil where it is not given.
  private static func list<Value: Hashable>(
    _ text: String?, _ flag: String, _ expected: String, _ parse: (Substring) -> Value?
  ) throws -> [Value]? {
    guard let text else { return nil }
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let values = try parts.map { part -> Value in
      let word = part.trimmingCharacters(in: .whitespaces)
      guard let value = parse(word[...]) else {
        throw ValidationError("\(flag) \(text): expected \(expected) between commas, found '\(word)'")
      }
      return value
    }
    guard Set(values).count == values.count else { throw ValidationError("\(flag) \(text): a value is there twice") }
    return values
  }

  func run() throws {
    let outcome = try train.watch.run(train.leaf.products) { try Sweep(self, world: $0).run() }
    if outcome == .stopped { throw ExitCode(75) }
  }
}
