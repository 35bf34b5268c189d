import Tokenization

/// One example as token ids.
public struct EncodedExample: Sendable, Equatable {
  /// Place in the data, from 0.
  public let index: Int
  /// What the model reads, its special tokens included.
  public let source: [Int32]
  /// What the model is to give: the ids of the answer, end-of-sequence last; for a classifier the number of the label, for
  /// a regression the bits of a Float. Empty for a plain text, of which an ``Objective`` makes source and target.
  public let target: [Int32]
  /// Tokens of the source before it was cut, special tokens included.
  public let uncutSourceLength: Int
  /// Tokens of the target before it was cut.
  public let uncutTargetLength: Int
  /// Where the second text of a pair begins in the source; the source's length for a single text.
  public let secondStart: Int

  public init(
    index: Int, source: [Int32], target: [Int32], uncutSourceLength: Int, uncutTargetLength: Int? = nil,
    secondStart: Int? = nil
  ) {
    self.index = index
    self.source = source
    self.target = target
    self.uncutSourceLength = uncutSourceLength
    self.uncutTargetLength = uncutTargetLength ?? target.count
    self.secondStart = secondStart ?? source.count
  }

  /// Whether the limits took something from the source, or from the target.
  public var isSourceCut: Bool { uncutSourceLength > source.count }
  public var isTargetCut: Bool { uncutTargetLength > target.count }
}

extension EncodedExample {
  func numbered(_ index: Int) -> EncodedExample {
    index == self.index
      ? self
      : EncodedExample(
        index: index, source: source, target: target, uncutSourceLength: uncutSourceLength,
        uncutTargetLength: uncutTargetLength, secondStart: secondStart)
  }
}

/// What a model does with an example.
public enum ExampleForm: Int, Sendable {
  /// Reads the source and writes the target (T5).
  case textToText
  /// Goes on from the source with the target (GPT-2).
  case continuation
  /// Reads source, or source and second text, and names a label or a value (RoBERTa, BERT).
  case classification
}

/// How examples become ids: what form, and how long their sides may be in tokens, special tokens included.
public struct ExampleEncoding: Sendable, Equatable {
  public let form: ExampleForm
  /// Most tokens of a source, special tokens included.
  public let source: Int
  /// Most tokens of a target, end-of-sequence included.
  public let target: Int
  /// Continuation only: the source's tokens are targets too, all but the first.
  public let trainsOnSource: Bool
  /// Most tokens of a plain text, without special tokens; a longer one is divided.
  public let textLength: Int

  public init(
    form: ExampleForm = .textToText, source: Int, target: Int, trainsOnSource: Bool = false,
    textLength: Int? = nil
  ) {
    precondition(source >= 1 && target >= 1, "length limits \(source) and \(target)")
    self.form = form
    self.source = source
    self.target = target
    self.trainsOnSource = trainsOnSource
    self.textLength = textLength ?? source
  }

  /// One example, or the parts of a plain text that is too long for one, all of nearly the same length.
  func encodedParts(_ example: Example, with tokenizer: any Tokenizer) -> [EncodedExample] {
    guard example.isPlainText else { return [encode(example, with: tokenizer)] }
    let ends = form == .continuation ? [tokenizer.eosID] : []
    let tokens = tokenizer.tokens(of: example.source) + ends
    let room = form == .classification ? textLength - tokenizer.specialTokenCount(isPair: false) : textLength
    let count = (tokens.count + max(room, 2) - 1) / max(room, 2)
    return (0..<count).compactMap { part in
      let own = Array(tokens[tokens.count * part / count..<tokens.count * (part + 1) / count])
      // Nothing could be asked of a single token.
      guard own.count >= 2 else { return nil }
      switch form {
      case .textToText:
        return EncodedExample(index: example.index, source: own, target: [], uncutSourceLength: own.count)
      case .continuation:
        return EncodedExample(
          index: example.index, source: Array(own.prefix(1)), target: Array(own.dropFirst()), uncutSourceLength: 1)
      case .classification:
        let whole = tokenizer.assemble(own, nil).ids
        return EncodedExample(index: example.index, source: whole, target: [], uncutSourceLength: whole.count)
      }
    }
  }

  public func encode(_ example: Example, with tokenizer: any Tokenizer) -> EncodedExample {
    switch form {
    case .textToText, .classification:
      return read(example, target: target(of: example, tokenizer), tokenizer)
    case .continuation:
      return continued(example, tokenizer)
    }
  }

  /// - Returns: what the model is to give, and how long that would be uncut.
  private func target(of example: Example, _ tokenizer: any Tokenizer) -> (ids: [Int32], uncut: Int) {
    if form == .classification {
      if let value = example.value { return ([Int32(bitPattern: value.bitPattern)], 1) }
      return ([Int32(example.label ?? 0)], 1)
    }
    let tokens = tokenizer.tokens(of: example.target)
    let kept = tokens.prefix(target - 1)
    let ids = tokenizer.assemble(Array(kept), nil).ids
    return (ids, ids.count + tokens.count - kept.count)
  }

  /// A source that is read as a whole, cut as Hugging Face does: of a pair the longer text loses its last tokens first.
  private func read(_ example: Example, target: (ids: [Int32], uncut: Int), _ tokenizer: any Tokenizer)
    -> EncodedExample
  {
    var first = tokenizer.tokens(of: example.source)
    let tail = example.tail.isEmpty ? [] : tokenizer.tokens(of: example.tail)
    var second = example.second.map { tokenizer.tokens(of: $0) }
    let special = tokenizer.specialTokenCount(isPair: second != nil)
    let uncut = first.count + tail.count + (second?.count ?? 0) + special
    let room = max(self.source - special - tail.count, 0)
    let lengths = PairTruncation.longestFirst(first.count, second?.count ?? 0, room: room)
    first = Array(first.prefix(second == nil ? room : lengths.first))
    second = second.map { Array($0.prefix(lengths.second)) }
    let assembled = tokenizer.assemble(first + tail, second)
    return EncodedExample(
      index: example.index, source: assembled.ids, target: target.ids, uncutSourceLength: uncut,
      uncutTargetLength: target.uncut, secondStart: assembled.secondStart)
  }

  /// A source whose beginning and tail stay, and the target behind it, end-of-sequence last; neither has a token in front.
  private func continued(_ example: Example, _ tokenizer: any Tokenizer) -> EncodedExample {
    let body = tokenizer.tokens(of: example.source)
    let tail = tokenizer.tokens(of: example.tail)
    let kept = Array(body.prefix(max(source - tail.count, 1))) + tail
    let whole = tokenizer.tokens(of: example.target)
    let answer = Array(whole.prefix(target - 1)) + [tokenizer.eosID]
    let cut = whole.count + 1 - answer.count
    // A model needs one token to go on from.
    let start = kept.isEmpty ? [tokenizer.eosID] : kept
    let target = trainsOnSource ? start.dropFirst() + answer : answer
    return EncodedExample(
      index: example.index, source: trainsOnSource ? Array(start.prefix(1)) : start, target: target,
      uncutSourceLength: body.count + tail.count, uncutTargetLength: target.count + cut)
  }
}
