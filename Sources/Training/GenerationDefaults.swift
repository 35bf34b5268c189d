import Checkpoints

/// How a model's own files want text to be generated: `generation_config.json`, or, without one, `config.json` (HF
/// `GenerationConfig`). A setting is nil where the file is silent.
public struct GenerationDefaults: Sendable {
  /// The file.
  public let origin: String
  public private(set) var maxLength: Int?
  public private(set) var maxNewTokens: Int?
  public private(set) var minLength: Int?
  public private(set) var minNewTokens: Int?
  public private(set) var beamCount: Int?
  public private(set) var lengthPenalty: Double?
  public private(set) var earlyStopping: GenerationOptions.EarlyStopping?
  public private(set) var returnCount: Int?
  public private(set) var noRepeatNgramSize: Int?
  public private(set) var repetitionPenalty: Double?
  public private(set) var doSample: Bool?
  public private(set) var temperature: Double?
  public private(set) var topK: Int?
  public private(set) var topP: Double?
  public private(set) var minP: Double?
  public private(set) var stopStrings: [String]?
  public private(set) var badWords: [[Int]]?
  public private(set) var forcedBOSID: Int?
  public private(set) var forcedEOSIDs: [Int]?
  public private(set) var suppressTokens: [Int]?
  public private(set) var beginSuppressTokens: [Int]?
  /// Settings that change what transformers generates and are not implemented here, with their values.
  public private(set) var unsupported: [(key: String, value: String)] = []

  /// No settings.
  public init() { origin = "" }

  /// - Throws: `CheckpointError` naming file and key.
  public init(_ folder: ModelFolder) throws { try self.init(folder.generationConfig ?? folder.config) }

  /// - Throws: `CheckpointError` naming file and key.
  public init(_ file: JSONObject) throws {
    origin = file.origin
    maxLength = try file.count("max_length", from: 1)
    maxNewTokens = try file.count("max_new_tokens", from: 1)
    minLength = try file.count("min_length", from: 0)
    minNewTokens = try file.count("min_new_tokens", from: 0)
    beamCount = try file.count("num_beams", from: 1, to: 256)
    lengthPenalty = try file.optionalDouble("length_penalty")
    earlyStopping = try Self.earlyStopping(file)
    returnCount = try file.count("num_return_sequences", from: 1, to: 256)
    noRepeatNgramSize = try file.count("no_repeat_ngram_size", from: 0)
    repetitionPenalty = try file.number("repetition_penalty", expected: "a number above 0") { $0 > 0 }
    doSample = try file.optionalBool("do_sample")
    temperature = try file.number("temperature", expected: "a number above 0") { $0 > 0 || doSample != true }
    topK = try file.count("top_k", from: 0)
    topP = try file.number("top_p", expected: "a number above 0 and at most 1") { $0 > 0 && $0 <= 1 }
    minP = try file.number("min_p", expected: "a number from 0 to 1") { (0...1).contains($0) }
    if case .string(let text)? = file["stop_strings"] {
      stopStrings = [text]
    } else {
      stopStrings = try file.optionalStrings("stop_strings")
    }
    badWords = try Self.lists(file, "bad_words_ids")
    forcedBOSID = try file.count("forced_bos_token_id", from: 0)
    if case .integer(let id)? = file["forced_eos_token_id"] {
      forcedEOSIDs = [id]
    } else {
      forcedEOSIDs = try file.optionalInts("forced_eos_token_id")
    }
    suppressTokens = try file.optionalInts("suppress_tokens")
    beginSuppressTokens = try file.optionalInts("begin_suppress_tokens")
    for (key, neutral) in Self.unknown {
      guard let value = file[key], !neutral.contains(value) else { continue }
      unsupported.append((key, value.encoded(.compact)))
    }
  }

  /// What is left out, and the values that ask for nothing.
  private static let unknown: [(key: String, neutral: [JSON])] = [
    ("constraints", []), ("diversity_penalty", [0, 0.0]), ("dola_layers", []), ("encoder_no_repeat_ngram_size", [0]),
    ("encoder_repetition_penalty", [1, 1.0]), ("epsilon_cutoff", [0, 0.0]), ("eta_cutoff", [0, 0.0]),
    ("exponential_decay_length_penalty", []), ("force_words_ids", []), ("guidance_scale", [1, 1.0]), ("max_time", []),
    ("num_beam_groups", [1]), ("penalty_alpha", [0, 0.0]), ("remove_invalid_values", [false]),
    ("renormalize_logits", [false]), ("sequence_bias", []), ("token_healing", [false]), ("top_h", []),
    ("typical_p", [1, 1.0]), ("watermarking_config", []),
  ]

  private static func earlyStopping(_ file: JSONObject) throws -> GenerationOptions.EarlyStopping? {
    switch file["early_stopping"] {
    case nil: return nil
    case .bool(let isFull): return isFull ? .whenFull : .whenHopeless
    case .string(let text):
      if let known = GenerationOptions.EarlyStopping(rawValue: text) { return known }
      fallthrough
    default: throw file.error("early_stopping", expected: "true, false or \"never\"")
    }
  }

  private static func lists(_ file: JSONObject, _ key: String) throws -> [[Int]]? {
    try file.optionalArray(key)?.map { element in
      guard case .array(let ids) = element, !ids.isEmpty else { throw file.error(key, expected: "lists of ids") }
      return try ids.map { id in
        guard case .integer(let id) = id else { throw file.error(key, expected: "lists of ids") }
        return id
      }
    }
  }
}

extension JSONObject {
  fileprivate func count(_ key: String, from least: Int, to most: Int = 1 << 22) throws -> Int? {
    guard let value = try optionalInt(key) else { return nil }
    guard (least...most).contains(value) else { throw error(key, expected: "an integer from \(least) to \(most)") }
    return value
  }

  fileprivate func number(_ key: String, expected: String, _ isRight: (Double) -> Bool) throws -> Double? {
    guard let value = try optionalDouble(key) else { return nil }
    guard value.isFinite, isRight(value) else { throw error(key, expected: expected) }
    return value
  }
}
