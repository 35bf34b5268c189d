/// What makes source and target of a plain text, anew in every epoch.
///
/// A decoder such as GPT-2 needs none: each token of a text is the target of those before it.
public enum Objective: Sendable, Equatable {
  case spanCorruption(SpanCorruption)
  case masked(MaskedLanguageModelling)

  /// The epoch as which texts are judged: always the same one, apart from those of training.
  public static let judgedEpoch = 1 << 32

  /// What `example` is in `epoch`, if it is a plain text; itself if it has a target of its own.
  public func applied(to example: EncodedExample, seed: UInt64, epoch: Int) -> EncodedExample {
    guard example.target.isEmpty else { return example }
    let made =
      switch self {
      case .spanCorruption(let corruption):
        corruption.corrupted(example.source, seed: seed, epoch: epoch, example: example.index)
      case .masked(let masking): masking.masked(example.source, seed: seed, epoch: epoch, example: example.index)
      }
    return EncodedExample(
      index: example.index, source: made.source, target: made.target, uncutSourceLength: example.uncutSourceLength)
  }
}
