import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import NN
import Tasks
import Training

extension GenerationDefaults {
  /// Those of the model in a folder, as far as they can be read; for checks before anything else is.
  static func peek(_ model: String) -> GenerationDefaults {
    let folder = URL(fileURLWithPath: model)
    for name in ["generation_config.json", "config.json"] {
      if let file = try? JSONObject(file: folder.appendingPathComponent(name)) {
        return (try? GenerationDefaults(file)) ?? GenerationDefaults()
      }
    }
    return GenerationDefaults()
  }
}

extension SearchFlags {
  /// The flags, and where they are silent the settings of the model's files.
  ///
  /// - Parameter tells: whether the settings that come from a file are logged, and those that are left out.
  func resolved(_ file: GenerationDefaults, tells: Bool = true) -> SearchFlags {
    var search = self
    var (taken, left): ([String], [String]) = ([], [])
    func take<Value>(_ key: String, _ value: Value?, _ flag: inout Value?) {
      guard flag == nil, let value else { return }
      flag = value
      taken.append("\(key) \(value)")
    }
    take("do_sample", file.doSample == true ? true : nil, &search.doSample)
    take("num_beams", file.beamCount.flatMap { $0 > 1 ? $0 : nil }, &search.numBeams)
    if search.isSampling, search.beamCount > 1 {
      // Drawing within a beam search is not implemented.
      if doSample == true { search.numBeams = nil } else { search.doSample = nil }
      left.append(doSample == true ? "num_beams \(file.beamCount ?? 1)" : "do_sample true")
      taken.removeAll { left.contains($0) }
    }
    if search.beamCount > 1 {
      take("length_penalty", file.lengthPenalty, &search.lengthPenalty)
      take("early_stopping", file.earlyStopping?.rawValue, &search.earlyStopping)
    }
    if search.isSampling {
      take("temperature", file.temperature, &search.temperature)
      take("top_k", file.topK, &search.topK)
      take("top_p", file.topP, &search.topP)
      take("min_p", file.minP, &search.minP)
    }
    // Values that ask for nothing are not worth a word.
    func count(_ value: Int?) -> Int? { value == 0 ? nil : value }
    func list(_ ids: [Int]?) -> String? { ids?.isEmpty == false ? ids?.map(String.init).joined(separator: ",") : nil }
    if minLength == nil { take("min_new_tokens", count(file.minNewTokens), &search.minNewTokens) }
    if minNewTokens == nil { take("min_length", count(file.minLength), &search.minLength) }
    take("no_repeat_ngram_size", count(file.noRepeatNgramSize), &search.noRepeatNgramSize)
    take("repetition_penalty", file.repetitionPenalty == 1 ? nil : file.repetitionPenalty, &search.repetitionPenalty)
    take("suppress_tokens", list(file.suppressTokens), &search.suppressTokens)
    take("begin_suppress_tokens", list(file.beginSuppressTokens), &search.beginSuppressTokens)
    take("bad_words_ids", file.badWords.flatMap { $0.isEmpty ? nil : "\($0)" }, &search.badWordsIds)
    take("forced_bos_token_id", file.forcedBOSID.map(String.init), &search.forcedBosTokenId)
    take("forced_eos_token_id", list(file.forcedEOSIDs), &search.forcedEosTokenId)
    if stop.isEmpty, let texts = file.stopStrings?.filter({ !$0.isEmpty }), !texts.isEmpty {
      search.stop = texts
      taken.append("stop_strings \(texts)")
    }
    guard tells else { return search }
    if !taken.isEmpty {
      RunLog.notice("answers follow \(file.origin): \(taken.joined(separator: ", ")); flags win over them")
    }
    left += file.unsupported.map { "\($0.key) \($0.value)" }
    if !left.isEmpty {
      RunLog.warning(
        "\(file.origin): \(left.joined(separator: ", ")) is not supported and left out; answers may differ from those of "
          + "transformers")
    }
    return search
  }

  /// How answers are generated that a task judges: they have the task's length. A model that writes nothing has no settings.
  ///
  /// - Returns: the flags that hold, and the options they make.
  @MainActor
  func judging(
    _ place: Workplace, _ task: any TextTask, maxNewTokens: Int, seed: UInt64
  ) throws -> (search: SearchFlags, options: GenerationOptions) {
    var search = self
    if place.model is any GenerativeModel, task.metrics != .tokens {
      let defaults = try GenerationDefaults(place.folder)
      search = resolved(defaults)
      Self.tellUnusedLengths(defaults, limit: maxNewTokens)
    }
    return (
      search,
      try search.options(
        place.model.description, maxNewTokens: maxNewTokens, tokenizer: place.tokenizer, seed: seed)
    )
  }

  /// The settings of a file about lengths, which a task or a command has of its own.
  private static func tellUnusedLengths(_ file: GenerationDefaults, limit: Int) {
    let lengths = [("max_length", file.maxLength), ("max_new_tokens", file.maxNewTokens)].compactMap { key, value in
      value.map { "\(key) \($0)" }
    }
    guard !lengths.isEmpty else { return }
    RunLog.notice(
      "\(file.origin): \(lengths.joined(separator: ", ")) is not used here; answers end after \(limit) tokens "
        + "(--max-target-length)")
  }

  // MARK: Lists of ids

  var idFlags: [(flag: String, text: String?)] {
    [
      ("--suppress-tokens", suppressTokens), ("--begin-suppress-tokens", beginSuppressTokens),
      ("--forced-bos-token-id", forcedBosTokenId), ("--forced-eos-token-id", forcedEosTokenId),
    ]
  }

  /// `5,9`; nothing for `none`.
  static func ids(_ text: String?, flag: String) throws -> [Int32] {
    guard let text, text != "none", !text.isEmpty else { return [] }
    return try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      guard let id = Int32(part.trimmingCharacters(in: .whitespaces)), id >= 0 else {
        throw ValidationError("\(flag) \(text): expected ids such as 5,9, or none")
      }
      return id
    }
  }

  /// `[[5,9],[7]]`
  func badWords() throws -> [[Int32]] {
    guard let badWordsIds, badWordsIds != "none" else { return [] }
    guard case .array(let words)? = try? JSON.decode(Array(badWordsIds.utf8), origin: "--bad-words-ids") else {
      throw ValidationError("--bad-words-ids \(badWordsIds): expected lists of ids, such as [[5,9],[7]]")
    }
    return try words.map { word in
      guard case .array(let ids) = word, !ids.isEmpty else {
        throw ValidationError("--bad-words-ids \(badWordsIds): expected lists of ids, such as [[5,9],[7]]")
      }
      return try ids.map { id in
        guard case .integer(let id) = id, let id = Int32(exactly: id), id >= 0 else {
          throw ValidationError("--bad-words-ids \(badWordsIds): expected ids from 0 on")
        }
        return id
      }
    }
  }
}
