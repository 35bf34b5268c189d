import TensorCore

/// The order in which the examples are visited: one permutation per epoch, evaluated on demand.
///
/// A Feistel network on the smallest power of two that holds all indices is a bijection whatever its round
/// function; walking along its cycle until the value is below `count` (two evaluations on average at most)
/// makes it one of 0 ..< count. Nothing is stored, so that step 1,000,000 costs what step 0 costs.
/// Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains"; round function: Philox.
public struct DataOrder: Sendable {
  /// Number of examples.
  public let count: Int
  public let seed: UInt64

  private static let rounds = 8
  private let highBits: Int
  private let lowBits: Int

  public init(count: Int, seed: UInt64) {
    precondition(count > 0, "an order of \(count) examples")
    self.count = count
    self.seed = seed
    let bits = count > 1 ? Int.bitWidth - (count - 1).leadingZeroBitCount : 0
    highBits = bits / 2
    lowBits = bits - bits / 2
  }

  /// The example at `position` (0 ..< count) of `epoch` (from 0). O(1).
  public func example(epoch: Int, position: Int) -> Int {
    precondition(
      epoch >= 0 && (0..<count).contains(position), "epoch \(epoch), position \(position) of \(count)")
    return example(CounterGenerator(seed: seed, purpose: .shuffle, step: UInt64(epoch)), position)
  }

  private func example(_ generator: CounterGenerator, _ position: Int) -> Int {
    var value = UInt64(position)
    repeat { value = permute(value, generator) } while value >= UInt64(count)
    return Int(value)
  }

  private func permute(_ value: UInt64, _ generator: CounterGenerator) -> UInt64 {
    let lowMask = (UInt64(1) << UInt64(lowBits)) - 1
    let highMask = (UInt64(1) << UInt64(highBits)) - 1
    var low = value & lowMask
    var high = value >> UInt64(lowBits)
    for round in 0..<UInt64(Self.rounds) {
      if round % 2 == 0 {
        low ^= generator.bits(at: round << 56 | high) & lowMask
      } else {
        high ^= generator.bits(at: round << 56 | low) & highMask
      }
    }
    return high << UInt64(lowBits) | low
  }

  /// The examples of one optimizer step.
  public struct Batch: Sendable, Equatable {
    public let epoch: Int
    /// Places within the epoch.
    public let positions: Range<Int>
    /// Example at each of these places.
    public let examples: [Int]
  }

  /// Steps in an epoch: ⌈count ÷ globalBatchSize⌉; the last batch of an epoch may be short.
  public func stepsPerEpoch(globalBatchSize: Int) -> Int {
    precondition(globalBatchSize > 0, "global batch size \(globalBatchSize)")
    return (count + globalBatchSize - 1) / globalBatchSize
  }

  /// The batch of `step` (from 0, through all epochs).
  public func batch(step: Int, globalBatchSize: Int) -> Batch {
    precondition(step >= 0, "step \(step)")
    let steps = stepsPerEpoch(globalBatchSize: globalBatchSize)
    let epoch = step / steps
    let start = step % steps * globalBatchSize
    let positions = start..<min(start + globalBatchSize, count)
    let generator = CounterGenerator(seed: seed, purpose: .shuffle, step: UInt64(epoch))
    return Batch(epoch: epoch, positions: positions, examples: positions.map { example(generator, $0) })
  }
}
