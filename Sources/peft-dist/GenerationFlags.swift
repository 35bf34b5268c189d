import ArgumentParser
import Tokenization
import Training

/// How answers are searched for, under the names of HF `GenerationConfig`.
struct SearchFlags: ParsableArguments {
  @Option(help: ArgumentHelp("Hypotheses searched side by side; 1 is greedy decoding.", valueName: "n"))
  var numBeams = 1
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
  @Option(help: ArgumentHelp("Fewest tokens to generate.", valueName: "n"))
  var minNewTokens = 0
  @Option(
    help: ArgumentHelp(
      "Fewest tokens of an answer, the start token included, where --min-new-tokens is not given.", valueName: "n"))
  var minLength = 0
  @Option(help: ArgumentHelp("No n-gram of this size twice; 0 for no rule.", valueName: "n"))
  var noRepeatNgramSize = 0
  @Option(help: ArgumentHelp("Divide the scores of tokens already there by this.", valueName: "x"))
  var repetitionPenalty = 1.0
  @Option(
    help: ArgumentHelp("End an answer at this text and cut it there; may be given several times.", valueName: "text"))
  var stop: [String] = []
  @Flag(help: "Draw each token by its probability instead of taking the best.")
  var doSample = false
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

  func validate() throws {
    guard (1...256).contains(numBeams) else {
      throw ValidationError("--num-beams \(numBeams): expected 1 to 256")
    }
    let least = [
      ("--min-new-tokens", minNewTokens), ("--min-length", minLength), ("--no-repeat-ngram-size", noRepeatNgramSize),
    ]
    for (flag, value) in least where value < 0 { throw ValidationError("\(flag) \(value): expected 0 or more") }
    guard repetitionPenalty > 0, repetitionPenalty.isFinite else {
      throw ValidationError("--repetition-penalty \(repetitionPenalty): expected a number above 0")
    }
    let ofBeams = [
      ("--length-penalty", lengthPenalty.map { "\($0)" }), ("--early-stopping", earlyStopping),
    ]
    for case (let flag, let value?) in ofBeams where numBeams == 1 {
      throw ValidationError("\(flag) \(value) is for beam search: give --num-beams, 2 or more, too")
    }
    guard lengthPenalty?.isFinite ?? true else {
      throw ValidationError("--length-penalty \(lengthPenalty ?? 0): expected a finite number")
    }
    if let earlyStopping, GenerationOptions.EarlyStopping(rawValue: earlyStopping) == nil {
      throw ValidationError("--early-stopping \(earlyStopping): expected true, false or never")
    }
    guard !stop.contains("") else { throw ValidationError("--stop: the text is empty, it would end every answer") }
    try validateSampling()
  }

  private func validateSampling() throws {
    try requireSampling([
      ("--temperature", temperature.map { "\($0)" }), ("--top-k", topK.map { "\($0)" }),
      ("--top-p", topP.map { "\($0)" }), ("--min-p", minP.map { "\($0)" }),
    ])
    guard !doSample || numBeams == 1 else {
      throw ValidationError("--do-sample does not go with --num-beams \(numBeams): leave one of them out")
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

  /// Refuses flags that only sampling looks at.
  func requireSampling(_ flags: [(flag: String, value: String?)]) throws {
    for case (let flag, let value?) in flags where !doSample {
      throw ValidationError("\(flag) \(value) is for sampling: give --do-sample, too")
    }
  }

  /// A fewest number of tokens above the most is a mistake.
  func check(most: Int, flag: String) throws {
    guard minNewTokens <= most else {
      throw ValidationError("--min-new-tokens \(minNewTokens): \(flag) allows \(most)")
    }
    guard minLength <= most + 1 else {
      throw ValidationError("--min-length \(minLength): \(flag) allows \(most + 1), the start token included")
    }
  }

  /// - Parameters:
  ///   - tokenizer: reads answers for the stop strings.
  ///   - seed: of the draws, where there are any.
  func options(eosIDs: [Int32], maxNewTokens: Int, tokenizer: any Tokenizer, seed: UInt64) -> GenerationOptions {
    var options = GenerationOptions(eosIDs: eosIDs)
    options.maxNewTokens = maxNewTokens
    options.minNewTokens = minNewTokens
    // As HF: of the two the number of new tokens counts.
    options.minLength = minNewTokens > 0 ? 0 : minLength
    options.noRepeatNgramSize = noRepeatNgramSize
    options.repetitionPenalty = Float(repetitionPenalty)
    options.beamCount = numBeams
    options.lengthPenalty = lengthPenalty ?? 1
    options.earlyStopping = earlyStopping.flatMap(GenerationOptions.EarlyStopping.init) ?? .whenHopeless
    options.stops = StopStrings(stop, tokenizer)
    guard doSample else { return options }
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
