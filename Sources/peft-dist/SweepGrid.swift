import Checkpoints
import TensorCore

/// One point of a sweep: what its run has of its own.
struct SweepMember: Sendable, Equatable {
  /// From 1, in the order of the grid.
  let number: Int
  /// nil for the default of the method.
  let learningRate: Double?
  let seed: UInt64
  let virtualTokens: Int
  let promptInit: String

  /// Of its folder.
  var name: String { String(repeating: "0", count: max(0, 3 - "\(number)".count)) + "\(number)" }

  /// The flags of its run.
  func flags(of train: TrainCommand) -> TrainCommand {
    var flags = train
    flags.learningRate = learningRate
    flags.seed = seed
    flags.method.virtualTokens = virtualTokens
    flags.method.promptInit = promptInit
    if promptInit != "text" { flags.method.promptInitText = nil }
    if promptInit != "file" { flags.method.promptInitFile = nil }
    flags.output = "\(train.output)/members/\(name)"
    return flags
  }

  var json: [String: JSON] {
    [
      "number": .integer(number), "learning_rate": learningRate.map { .double($0) } ?? .null,
      "seed": .integer(Int(seed)), "virtual_tokens": .integer(virtualTokens),
      "prompt_init": .string(promptInit),
    ]
  }
}

/// What a sweep searches: every combination of these.
struct SweepGrid: Sendable {
  let learningRates: [Double?]
  let seeds: [UInt64]
  let virtualTokenCounts: [Int]
  let promptInits: [String]

  static let mostMembers = 100_000

  /// Combinations there are.
  var count: Int {
    [learningRates.count, seeds.count, virtualTokenCounts.count, promptInits.count].reduce(1) {
      $0.multipliedReportingOverflow(by: $1).overflow ? .max : $0 * $1
    }
  }

  /// The members: all combinations, learning rates slowest and seeds fastest; or `trials` of them, drawn without putting
  /// back by the counter generator, in the same order.
  func members(trials: Int? = nil, seed: UInt64) -> [SweepMember] {
    chosen(trials ?? count, seed: seed).enumerated().map { index, place in
      var rest = place
      func next<Value>(_ values: [Value]) -> Value {
        defer { rest /= values.count }
        return values[rest % values.count]
      }
      let (seed, promptInit) = (next(seeds), next(promptInits))
      let virtualTokens = next(virtualTokenCounts)
      return SweepMember(
        number: index + 1, learningRate: next(learningRates), seed: seed, virtualTokens: virtualTokens,
        promptInit: promptInit)
    }
  }

  /// Places of the grid, ascending.
  private func chosen(_ wanted: Int, seed: UInt64) -> [Int] {
    var places = Array(0..<count)
    guard wanted < count else { return places }
    let generator = CounterGenerator(seed: seed, purpose: .sampling, site: 0x5357_4545)
    for index in 0..<wanted {
      places.swapAt(index, index + generator.integer(at: UInt64(index), below: count - index))
    }
    return places.prefix(wanted).sorted()
  }
}
