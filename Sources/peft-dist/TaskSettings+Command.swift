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
  func filled(from settings: TaskSettings?) -> SearchFlags {
    guard let generation = settings?.generation, !generation.isEmpty else { return self }
    let file = JSONObject(generation, origin: settings?.origin ?? "")
    var search = self
    // What is of another kind than written there was damaged by hand; the flags' own defaults count then.
    search.numBeams = numBeams ?? (try? file.optionalInt("num_beams"))
    search.lengthPenalty = lengthPenalty ?? (try? file.optionalDouble("length_penalty"))
    search.earlyStopping = earlyStopping ?? (try? file.optionalString("early_stopping"))
    search.minNewTokens = minNewTokens ?? (try? file.optionalInt("min_new_tokens"))
    search.minLength = minLength ?? (try? file.optionalInt("min_length"))
    search.noRepeatNgramSize = noRepeatNgramSize ?? (try? file.optionalInt("no_repeat_ngram_size"))
    search.repetitionPenalty = repetitionPenalty ?? (try? file.optionalDouble("repetition_penalty"))
    search.suppressTokens = suppressTokens ?? (try? file.optionalString("suppress_tokens"))
    search.beginSuppressTokens = beginSuppressTokens ?? (try? file.optionalString("begin_suppress_tokens"))
    search.badWordsIds = badWordsIds ?? (try? file.optionalString("bad_words_ids"))
    search.forcedBosTokenId = forcedBosTokenId ?? (try? file.optionalString("forced_bos_token_id"))
    search.forcedEosTokenId = forcedEosTokenId ?? (try? file.optionalString("forced_eos_token_id"))
    search.doSample = doSample ?? (try? file.optionalBool("do_sample"))
    if search.beamCount > 1, doSample == nil, numBeams != nil { search.doSample = nil }
    if search.isSampling, doSample == true, numBeams == nil { search.numBeams = nil }
    if search.isSampling {
      search.temperature = temperature ?? (try? file.optionalDouble("temperature"))
      search.topK = topK ?? (try? file.optionalInt("top_k"))
      search.topP = topP ?? (try? file.optionalDouble("top_p"))
      search.minP = minP ?? (try? file.optionalDouble("min_p"))
    }
    if stop.isEmpty { search.stop = (try? file.strings("stop")) ?? [] }
    return search
  }
}
