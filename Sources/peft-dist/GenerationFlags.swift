import ArgumentParser
import Training

/// How answers are searched for, under the names of HF `GenerationConfig`.
struct SearchFlags: ParsableArguments {
  @Option(help: ArgumentHelp("Hypotheses searched side by side; 1 is greedy decoding.", valueName: "n"))
  var numBeams = 1
  @Option(
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
  @Option(help: ArgumentHelp("Fewest tokens of an answer, the start token included.", valueName: "n"))
  var minLength = 0
  @Option(help: ArgumentHelp("No n-gram of this size twice; 0 for no rule.", valueName: "n"))
  var noRepeatNgramSize = 0
  @Option(help: ArgumentHelp("Divide the scores of tokens already there by this.", valueName: "x"))
  var repetitionPenalty = 1.0

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

  func options(eosIDs: [Int32], maxNewTokens: Int) -> GenerationOptions {
    var options = GenerationOptions(eosIDs: eosIDs)
    options.maxNewTokens = maxNewTokens
    options.minNewTokens = minNewTokens
    options.minLength = minLength
    options.noRepeatNgramSize = noRepeatNgramSize
    options.repetitionPenalty = Float(repetitionPenalty)
    options.beamCount = numBeams
    options.lengthPenalty = lengthPenalty ?? 1
    options.earlyStopping = earlyStopping.flatMap(GenerationOptions.EarlyStopping.init) ?? .whenHopeless
    return options
  }
}
