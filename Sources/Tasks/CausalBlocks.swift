import TensorCore

/// GPT's objective for pre-training: all texts one after the other, cut into blocks of one length, each token a target after those
/// before it.
///
/// Source: Radford et al. 2019; HF `run_clm.py`, `group_texts`, which drops the rest that fills no block, too.
public struct CausalBlocks: Sendable, Equatable {
  /// Tokens of a block.
  public let length: Int
  /// The blocks of each epoch begin at another place, drawn from the seed, so that the same cuts do not return.
  public var movesEachEpoch = false

  public init(length: Int) {
    precondition(length >= 2, "blocks of \(length) tokens have no targets")
    self.length = length
  }

  /// Texts one after the other, each with `eosID` at its end.
  public static func stream(_ texts: some Sequence<[Int32]>, eosID: Int32) -> [Int32] {
    var stream: [Int32] = []
    for text in texts {
      stream += text
      stream.append(eosID)
    }
    return stream
  }

  /// Blocks of a stream of `tokenCount` tokens, the same number in every epoch.
  public func count(tokenCount: Int) -> Int {
    max(0, movesEachEpoch ? (tokenCount - length + 1) / length : tokenCount / length)
  }

  /// Block number `example` of the stream in `epoch`. The target equals the source; what the model gives at a position is judged by
  /// the following one, so the first token is nobody's target.
  public func block(_ stream: some RandomAccessCollection<Int32>, seed: UInt64, epoch: Int, example: Int)
    -> ObjectiveExample
  {
    let count = count(tokenCount: stream.count)
    precondition((0..<count).contains(example), "block \(example) of \(count)")
    let start = stream.index(stream.startIndex, offsetBy: shift(seed: seed, epoch: epoch) + example * length)
    let tokens = Array(stream[start..<stream.index(start, offsetBy: length)])
    return ObjectiveExample(source: tokens, target: tokens)
  }

  private func shift(seed: UInt64, epoch: Int) -> Int {
    guard movesEachEpoch else { return 0 }
    return CounterGenerator(seed: seed, purpose: .objective, step: UInt64(epoch)).integer(at: 0, below: length)
  }
}
