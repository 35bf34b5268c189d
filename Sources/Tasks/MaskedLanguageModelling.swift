import TensorCore

/// BERT's objective for pre-training, masked anew in every epoch as RoBERTa does it: some tokens are hidden, and the model is to
/// name them.
///
/// Each token but the special ones is a target with probability 15 %. Of the targets 80 % become the mask token, 10 % a random
/// token of the vocabulary, 10 % stay as they are.
///
/// Source: Devlin et al. 2019, §3.1; Liu et al. 2019, §4.1; HF `DataCollatorForLanguageModeling`.
public struct MaskedLanguageModelling: Sendable, Equatable {
  public var targetShare = 0.15
  /// Shares of the targets; the rest stays.
  public var maskShare = 0.8
  public var randomShare = 0.1
  public let maskID: Int32
  public let vocabularySize: Int
  /// Never targets: start, end, separator and padding.
  public let specialIDs: Set<Int32>

  public init(maskID: Int32, vocabularySize: Int, specialIDs: Set<Int32>) {
    precondition(
      (0..<vocabularySize).contains(Int(maskID)), "mask \(maskID) of a vocabulary of \(vocabularySize)")
    self.maskID = maskID
    self.vocabularySize = vocabularySize
    self.specialIDs = specialIDs
  }

  /// `tokens`, special ones included, with some hidden; the target has the hidden ones, `ObjectiveExample.ignored` elsewhere.
  public func masked(_ tokens: [Int32], seed: UInt64, epoch: Int, example: Int) -> ObjectiveExample {
    let generator = CounterGenerator(
      seed: seed, purpose: .objective, step: UInt64(epoch), site: UInt32(truncatingIfNeeded: example))
    var source = tokens
    var target = tokens.map { _ in ObjectiveExample.ignored }
    for (position, token) in tokens.enumerated() where !specialIDs.contains(token) {
      // Three numbers belong to each position, whether they are needed or not.
      let first = 3 * UInt64(position)
      guard generator.uniform(at: first) < targetShare else { continue }
      target[position] = token
      let fate = generator.uniform(at: first + 1)
      if fate < maskShare {
        source[position] = maskID
      } else if fate < maskShare + randomShare {
        source[position] = Int32(generator.integer(at: first + 2, below: vocabularySize))
      }
    }
    return ObjectiveExample(source: source, target: target)
  }
}
