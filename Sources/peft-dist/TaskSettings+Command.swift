import Diagnostics
import ArgumentParser
import Checkpoints
import Foundation
import Tasks

extension TaskSettings {
  /// Those of the adapter, and without one those of the model; nil for what other programs made.
  static func first(adapter: String?, model: String) throws -> TaskSettings? {
    let folder = URL(fileURLWithPath: adapter ?? model)
    for place in [folder] + AdapterFolder.parts(of: folder) {
      if let settings = try TaskSettings(folder: place) { return settings }
    }
    return nil
  }
}

extension SearchFlags {
  /// The flags, and where they are silent how answers were generated that judged in training.
  ///
  /// - Throws: `CheckpointError` naming file and key, for a value of another kind; `BadGeneration` for one that no flag may have.
  func filled(from settings: TaskSettings?) throws -> SearchFlags {
    guard let settings else { return self }
    let file = JSONObject(settings.generation, origin: "\(settings.origin), generation")
    var search = self
    func fill<Value>(_ flag: WritableKeyPath<SearchFlags, Value?>, _ key: String, _ read: (String) throws -> Value?)
      throws
    {
      if search[keyPath: flag] == nil { search[keyPath: flag] = try read(key) }
    }
    try fill(\.numBeams, "num_beams", file.optionalInt)
    try fill(\.doSample, "do_sample", file.optionalBool)
    if search.isSampling, search.beamCount > 1 {
      // A flag chose another search than that of the training.
      if doSample == true { search.numBeams = nil } else { search.doSample = nil }
    }
    if search.beamCount > 1 {
      try fill(\.lengthPenalty, "length_penalty", file.optionalDouble)
      try fill(\.earlyStopping, "early_stopping", file.optionalString)
    }
    if search.isSampling {
      try fill(\.temperature, "temperature", file.optionalDouble)
      try fill(\.topK, "top_k", file.optionalInt)
      try fill(\.topP, "top_p", file.optionalDouble)
      try fill(\.minP, "min_p", file.optionalDouble)
    }
    try fill(\.minNewTokens, "min_new_tokens", file.optionalInt)
    try fill(\.minLength, "min_length", file.optionalInt)
    try fill(\.noRepeatNgramSize, "no_repeat_ngram_size", file.optionalInt)
    try fill(\.repetitionPenalty, "repetition_penalty", file.optionalDouble)
    try fill(\.suppressTokens, "suppress_tokens", file.optionalString)
    try fill(\.beginSuppressTokens, "begin_suppress_tokens", file.optionalString)
    try fill(\.badWordsIds, "bad_words_ids", file.optionalString)
    try fill(\.forcedBosTokenId, "forced_bos_token_id", file.optionalString)
    try fill(\.forcedEosTokenId, "forced_eos_token_id", file.optionalString)
    if stop.isEmpty, file["stop"] != nil { search.stop = try file.strings("stop") }
    // The flags themselves have passed already.
    do { try search.validate() } catch let error as ValidationError {
      throw BadGeneration(origin: settings.origin, problem: error.message)
    }
    return search
  }

  struct BadGeneration: DescribedError, Equatable {
    let origin: String
    let problem: String
    var description: String { "\(origin), key 'generation', as flags would have it: \(problem)" }
  }
}
