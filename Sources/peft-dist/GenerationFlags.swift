import ArgumentParser
import NN
import Tokenization
import Training

/// How answers are searched for, under the names of HF `GenerationConfig`. What no flag says is as `generation_config.json` of the
/// model has it (`resolved`).
struct SearchFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Hypotheses searched side by side; 1 is greedy decoding (default: that of the model's generation_config.json, as of all these settings; or 1).",
      valueName: "n"))
  var numBeams: Int?
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Beam search: scores are divided by length to this power; above 0 long answers gain (default: 1).",
      valueName: "x"))
  var lengthPenalty: Double?
  @Option(
    help: ArgumentHelp(
      "Beam search: stop once --num-beams answers are finished (true), once better ones are unlikely (false, the default), or impossible (never).",
      valueName: "when"))
  var earlyStopping: String?
  @Option(help: ArgumentHelp("Fewest tokens to generate (default: 0).", valueName: "n"))
  var minNewTokens: Int?
  @Option(
    help: ArgumentHelp(
      "Fewest tokens of an answer, the start token included, where --min-new-tokens is not given (default: 0).",
      valueName: "n"))
  var minLength: Int?
  @Option(help: ArgumentHelp("No n-gram of this size twice; 0 for no rule (default: 0).", valueName: "n"))
  var noRepeatNgramSize: Int?
  @Option(help: ArgumentHelp("Divide the scores of tokens already there by this (default: 1).", valueName: "x"))
  var repetitionPenalty: Double?
  @Option(help: ArgumentHelp("Never generate these tokens, as 5,9; none for no rule.", valueName: "ids"))
  var suppressTokens: String?
  @Option(help: ArgumentHelp("Never begin an answer with these tokens; none for no rule.", valueName: "ids"))
  var beginSuppressTokens: String?
  @Option(
    help: ArgumentHelp("Never generate these sequences of tokens, as [[5,9],[7]]; [] for no rule.", valueName: "lists"))
  var badWordsIds: String?
  @Option(
    help: ArgumentHelp(
      "Begin every answer with this token, where the prompt is one token, as T5's; none for no rule.", valueName: "id"))
  var forcedBosTokenId: String?
  @Option(
    help: ArgumentHelp(
      "End answers of the greatest length with one of these tokens; none for no rule.", valueName: "ids"))
  var forcedEosTokenId: String?
  @Option(
    help: ArgumentHelp("End an answer at this text and cut it there; may be given several times.", valueName: "text"))
  var stop: [String] = []
  @Flag(inversion: .prefixedNo, help: "Draw each token by its probability instead of taking the best.")
  var doSample: Bool?
  @Option(
    help: ArgumentHelp("Sampling: divide scores by this; below 1 likely tokens gain (default: 1).", valueName: "x"))
  var temperature: Double?
  @Option(help: ArgumentHelp("Sampling: from the n best tokens only; 0 for all (default: 50).", valueName: "n"))
  var topK: Int?
  @Option(
    help: ArgumentHelp(
      "Sampling: from the fewest tokens that have more than this probability together (default: 1, all).",
      valueName: "p"))
  var topP: Double?
  @Option(
    help: ArgumentHelp(
      "Sampling: from tokens at least this times as likely as the best one (default: 0, all).", valueName: "p"))
  var minP: Double?

  var beamCount: Int { numBeams ?? 1 }
  var isSampling: Bool { doSample == true }

  func validate() throws {
    guard (1...256).contains(beamCount) else {
      throw ValidationError("--num-beams \(beamCount): expected 1 to 256")
    }
    let least = [
      ("--min-new-tokens", minNewTokens), ("--min-length", minLength), ("--no-repeat-ngram-size", noRepeatNgramSize),
    ]
    for case (let flag, let value?) in least where value < 0 {
      throw ValidationError("\(flag) \(value): expected 0 or more")
    }
    guard repetitionPenalty.map({ $0 > 0 && $0.isFinite }) ?? true else {
      throw ValidationError("--repetition-penalty \(repetitionPenalty ?? 0): expected a number above 0")
    }
    guard lengthPenalty?.isFinite ?? true else {
      throw ValidationError("--length-penalty \(lengthPenalty ?? 0): expected a finite number")
    }
    if let earlyStopping, GenerationOptions.EarlyStopping(rawValue: earlyStopping) == nil {
      throw ValidationError("--early-stopping \(earlyStopping): expected true, false or never")
    }
    guard !stop.contains("") else { throw ValidationError("--stop: the text is empty, it would end every answer") }
    for (flag, text) in idFlags where text != nil { _ = try Self.ids(text, flag: flag) }
    _ = try badWords()
    guard !isSampling || beamCount == 1 else {
      throw ValidationError("--do-sample does not go with --num-beams \(beamCount): leave one of them out")
    }
    guard temperature.map({ $0 > 0 && $0.isFinite }) ?? true else {
      throw ValidationError("--temperature \(temperature ?? 0): expected a number above 0")
    }
    guard topK ?? 0 >= 0 else { throw ValidationError("--top-k \(topK ?? 0): expected 0 or more") }
    guard topP.map({ $0 > 0 && $0 <= 1 }) ?? true else {
      throw ValidationError("--top-p \(topP ?? 0): expected a number above 0 and at most 1")
    }
    guard minP.map({ (0...1).contains($0) }) ?? true else {
      throw ValidationError("--min-p \(minP ?? 0): expected a number from 0 to 1")
    }
  }

  /// Refuses flags that the kind of search does not look at, whether flags or the model's files chose it.
  ///
  /// - Parameters:
  ///   - model: folder of the model; one that cannot be read is told of later.
  ///   - sampling: flags of the command that are for sampling as well.
  func requireUsed(model: String, sampling: [(flag: String, value: String?)] = []) throws {
    let search = resolved(GenerationDefaults.peek(model), tells: false)
    let ofBeams = [
      ("--length-penalty", lengthPenalty.map { "\($0)" }), ("--early-stopping", earlyStopping),
    ]
    for case (let flag, let value?) in ofBeams where search.beamCount == 1 {
      throw ValidationError("\(flag) \(value) is for beam search: give --num-beams, 2 or more, too")
    }
    let ofSampling = [
      ("--temperature", temperature.map { "\($0)" }), ("--top-k", topK.map { "\($0)" }),
      ("--top-p", topP.map { "\($0)" }), ("--min-p", minP.map { "\($0)" }),
    ]
    for case (let flag, let value?) in ofSampling + sampling where !search.isSampling {
      throw ValidationError("\(flag) \(value) is for sampling: give --do-sample, too")
    }
  }

  /// A fewest number of tokens above the most is a mistake.
  func check(most: Int, flag: String) throws {
    if let minNewTokens, minNewTokens > most {
      throw ValidationError("--min-new-tokens \(minNewTokens): \(flag) allows \(most)")
    }
    if let minLength, minLength > most + 1 {
      throw ValidationError("--min-length \(minLength): \(flag) allows \(most + 1), the start token included")
    }
  }

  /// - Parameters:
  ///   - tokenizer: reads answers for the stop strings.
  ///   - seed: of the draws, where there are any.
  /// - Throws: `ValidationError` for a token that the model does not have.
  func options(
    _ model: ModelDescription, maxNewTokens: Int, maxLength: Int? = nil, tokenizer: any Tokenizer, seed: UInt64
  ) throws -> GenerationOptions {
    var options = GenerationOptions(eosIDs: model.eosIDs)
    options.maxNewTokens = maxNewTokens
    options.maxLength = maxLength
    options.minNewTokens = minNewTokens ?? 0
    // As HF: of the two the number of new tokens counts.
    options.minLength = options.minNewTokens > 0 ? 0 : minLength ?? 0
    options.noRepeatNgramSize = noRepeatNgramSize ?? 0
    options.repetitionPenalty = Float(repetitionPenalty ?? 1)
    options.beamCount = beamCount
    options.lengthPenalty = lengthPenalty ?? 1
    options.earlyStopping = earlyStopping.flatMap(GenerationOptions.EarlyStopping.init) ?? .whenHopeless
    options.stops = StopStrings(stop, tokenizer)
    options.badWords = try badWords()
    options.suppressedIDs = try Self.ids(suppressTokens, flag: "--suppress-tokens")
    options.suppressedFirstIDs = try Self.ids(beginSuppressTokens, flag: "--begin-suppress-tokens")
    options.forcedFirstID = try Self.ids(forcedBosTokenId, flag: "--forced-bos-token-id").first
    options.forcedLastIDs = try Self.ids(forcedEosTokenId, flag: "--forced-eos-token-id")
    let named = [
      ("--bad-words-ids", options.badWords.flatMap(\.self)), ("--suppress-tokens", options.suppressedIDs),
      ("--begin-suppress-tokens", options.suppressedFirstIDs),
      ("--forced-bos-token-id", [options.forcedFirstID].compactMap(\.self)),
      ("--forced-eos-token-id", options.forcedLastIDs),
    ]
    for (flag, ids) in named {
      guard let stranger = ids.first(where: { $0 >= model.vocabularySize }) else { continue }
      throw ValidationError("\(flag) \(stranger): the model has the ids 0 to \(model.vocabularySize - 1)")
    }
    guard isSampling else { return options }
    var sampling = SamplingOptions(seed: seed)
    sampling.temperature = Float(temperature ?? 1)
    sampling.topK = topK ?? sampling.topK
    sampling.topP = topP ?? 1
    sampling.minP = minP ?? 0
    options.sampling = sampling
    return options
  }

  /// The seed of the draws where none is given.
  static let defaultSeed: UInt64 = 42
}
