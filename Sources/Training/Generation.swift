import NN

/// One answer: its ids, the prompt first, the end-of-sequence token included.
public struct GeneratedSequence: Sendable, Equatable {
  public let tokens: [Int32]
  /// How many of them are the prompt.
  public let promptCount: Int
  /// Log-probability under the length penalty; nil where none is computed (greedy decoding and sampling).
  public let score: Float?

  public init(tokens: [Int32], promptCount: Int = 1, score: Float?) {
    self.tokens = tokens
    self.promptCount = promptCount
    self.score = score
  }

  /// What has been generated, without the prompt.
  public var answer: [Int32] { Array(tokens.dropFirst(promptCount)) }
}

/// Generates the answers of one leaf: by sampling or beam search where they are asked for, greedily otherwise.
public struct SequenceGenerator: Sendable {
  public let options: GenerationOptions

  public init(_ options: GenerationOptions) { self.options = options }

  /// - Parameter examples: index of each source in its data set.
  /// - Returns: per source its `returnCount` answers, best first; samples in the order of their numbers.
  public func generate(sources: [[Int32]], examples: [UInt32], model: any GenerativeModel, _ pass: ForwardPass)
    -> [[GeneratedSequence]]
  {
    let state = model.startDecoding(
      sources: sources, examples: examples, maxNewTokens: options.maxNewTokens, beamCount: options.rowsPerSource,
      pass)
    return generate(state, examples: examples, pass)
  }

  /// - Parameters:
  ///   - state: begun with `rowsPerSource` rows for each source.
  ///   - prompts: what each source's sequences begin with, if not with the prompts of the state.
  public func generate(
    _ state: any DecodingState, examples: [UInt32], prompts: [[Int32]]? = nil, _ pass: ForwardPass
  ) -> [[GeneratedSequence]] {
    let prompts = prompts ?? examples.indices.map(state.prompt)
    if let sampling = options.sampling {
      precondition(options.beamCount == 1, "sampling does not go with \(options.beamCount) beams")
      let decoder = SamplingDecoder(options: options, sampling: sampling)
      return zip(decoder.generate(state, prompts: prompts, examples: examples, pass), prompts).map { samples, prompt in
        samples.map { GeneratedSequence(tokens: $0, promptCount: prompt.count, score: nil) }
      }
    }
    if options.beamCount > 1 { return BeamDecoder(options).generate(state, prompts: prompts, pass) }
    return zip(GreedyDecoder(options).generate(state, prompts: prompts, pass), prompts).map { tokens, prompt in
      [GeneratedSequence(tokens: tokens, promptCount: prompt.count, score: nil)]
    }
  }

  /// Examples of each generation leaf: runs of consecutive ones, a pure function of their number and of the rows of each, its
  /// beams or samples.
  ///
  /// A step reads all weights once for the whole leaf, so a leaf should have many rows: up to 64. But a small set still
  /// makes leaves for several workers: four of them as long as each has 16 rows.
  public static func leaves(count: Int, beamCount: Int) -> [Range<Int>] {
    let size = max(1, min(max(count * beamCount / 4, 16), 64) / beamCount)
    return stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
  }
}
