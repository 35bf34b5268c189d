import Checkpoints
import Training

/// Generation as reference data describes it: arguments of HF `generate`, and what came out.
enum ReferenceGeneration {
  /// HF's `max_length` and `min_length` count the prompt, padding included.
  static func options(
    _ arguments: JSONObject, vocabularySize: Int, eosIDs: [Int32], promptLength: Int = 1
  ) throws -> GenerationOptions {
    let ids: [Int]
    if case .array? = arguments["eos_token_id"] {
      ids = try arguments.ints("eos_token_id")
    } else {
      ids = try arguments.optionalInt("eos_token_id").map { [$0] } ?? eosIDs.map { Int($0) }
    }
    guard ids.allSatisfy({ (0..<vocabularySize).contains($0) }) else {
      throw arguments.error("eos_token_id", expected: "ids below \(vocabularySize)")
    }
    var options = GenerationOptions(eosIDs: ids.map { Int32($0) })
    if arguments["max_new_tokens"] != nil {
      options.maxNewTokens = try arguments.int("max_new_tokens", in: 1...100_000)
    } else {
      options.maxNewTokens = try arguments.int("max_length", in: promptLength + 1...100_000) - promptLength
    }
    try readRules(arguments, into: &options)
    if arguments["num_beams"] != nil { options.beamCount = try arguments.int("num_beams", in: 1...1024) }
    if arguments["num_return_sequences"] != nil {
      options.returnCount = try arguments.int("num_return_sequences", in: 1...options.beamCount)
    }
    options.lengthPenalty = try arguments.optionalDouble("length_penalty") ?? 1
    options.earlyStopping = try earlyStopping(arguments)
    return options
  }

  /// The arguments that forbid or penalise tokens.
  static func readRules(_ arguments: JSONObject, into options: inout GenerationOptions) throws {
    options.minNewTokens = try arguments.optionalInt("min_new_tokens") ?? 0
    options.minLength = try arguments.optionalInt("min_length") ?? 0
    options.noRepeatNgramSize = try arguments.optionalInt("no_repeat_ngram_size") ?? 0
    options.repetitionPenalty = Float(try arguments.optionalDouble("repetition_penalty") ?? 1)
  }

  /// `false`, `true` or `"never"`.
  private static func earlyStopping(_ arguments: JSONObject) throws -> GenerationOptions.EarlyStopping {
    switch arguments["early_stopping"] {
    case nil, .bool(false): return .whenHopeless
    case .bool(true): return .whenFull
    case .string("never"): return .never
    default: throw arguments.error("early_stopping", expected: "false, true or \"never\"")
    }
  }

  /// All returned sequences, filled up to the longest, and their scores against `sequences` and `sequences_scores`.
  ///
  /// Greedy decoding fills with the padding token; beam search with the first end token where the padding token is 0.
  static func compare(
    _ generated: [GeneratedSequence], options: GenerationOptions, padID: Int32, _ entry: JSONObject
  ) throws -> [Finding] {
    let fill = options.beamCount > 1 && padID == 0 ? options.eosIDs.first ?? padID : padID
    let longest = generated.map(\.tokens.count).max() ?? 0
    var sequences = Finding("sequences")
    let expected = try entry.integerLists("sequences")
    sequences.compare(exactly: generated.count, expected.count, at: "rows")
    for (row, pair) in zip(generated, expected).enumerated() {
      let tokens = pair.0.tokens.map { Int($0) }
      let filled = tokens + Array(repeating: Int(fill), count: longest - tokens.count)
      sequences.compare(exactly: filled, pair.1, at: "row \(row)")
    }
    guard let scores = try entry.optionalDoubles("sequences_scores") else { return [sequences] }
    var finding = Finding("scores", Tolerance(absolute: 1e-4, relative: 1e-5))
    finding.compare(generated.map { $0.score.map(Double.init) ?? .nan }, scores, at: "sequences_scores")
    return [sequences, finding]
  }
}
