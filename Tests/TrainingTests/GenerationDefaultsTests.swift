import Autograd
import Checkpoints
import Foundation
import Models
import NN
import TensorCore
import Testing
import Training

/// The settings of generation_config.json, and answers under them, as `generate` of transformers has them.
@Suite struct GenerationDefaultsTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Goldens/interop", directoryHint: .isDirectory)

  private static func cases() throws -> [JSONObject] {
    guard case .array(let cases) = try JSON.decode(file: root.appending(path: "generation.json")) else { return [] }
    return cases.compactMap { element in
      if case .object(let members) = element { return JSONObject(members, origin: "generation.json") }
      return nil
    }
  }

  private static func ids(_ json: JSON) -> [Int32] {
    guard case .array(let ids) = json else { return [] }
    return ids.compactMap { if case .integer(let id) = $0 { Int32(id) } else { nil } }
  }

  private static func lists(_ json: JSON?) -> [JSON] {
    if case .array(let lists)? = json { lists } else { [] }
  }

  /// How transformers resolves them: arguments first, then the file.
  private static func options(_ entry: JSONObject, _ model: any GenerativeModel) throws -> GenerationOptions {
    let arguments = try GenerationDefaults(entry.object("arguments"))
    let file = try GenerationDefaults(entry.optionalObject("generation_config") ?? entry.object("config"))
    func value<Value>(_ path: KeyPath<GenerationDefaults, Value?>) -> Value? {
      arguments[keyPath: path] ?? file[keyPath: path]
    }
    func ids(_ ids: [Int]?) -> [Int32] { ids?.map { Int32($0) } ?? [] }
    var options = GenerationOptions(eosIDs: model.description.eosIDs)
    let newTokens = value(\.maxNewTokens)
    options.maxLength = newTokens == nil ? value(\.maxLength) ?? model.description.positionCount : nil
    options.maxNewTokens = newTokens ?? value(\.maxLength) ?? 20
    options.minNewTokens = value(\.minNewTokens) ?? 0
    options.minLength = options.minNewTokens > 0 ? 0 : value(\.minLength) ?? 0
    options.beamCount = value(\.beamCount) ?? 1
    options.returnCount = value(\.returnCount) ?? 1
    options.lengthPenalty = value(\.lengthPenalty) ?? 1
    options.earlyStopping = value(\.earlyStopping) ?? .whenHopeless
    options.noRepeatNgramSize = value(\.noRepeatNgramSize) ?? 0
    options.repetitionPenalty = Float(value(\.repetitionPenalty) ?? 1)
    options.badWords = (value(\.badWords) ?? []).map { $0.map { Int32($0) } }
    options.forcedFirstID = value(\.forcedBOSID).map { Int32($0) }
    options.forcedLastIDs = ids(value(\.forcedEOSIDs))
    options.suppressedIDs = ids(value(\.suppressTokens))
    options.suppressedFirstIDs = ids(value(\.beginSuppressTokens))
    return options
  }

  @Test func everyCase() throws {
    let cases = try Self.cases()
    #expect(cases.count == 38)
    for entry in cases {
      let name = try entry.string("name")
      let base = Self.root.appending(path: "bases/\(try entry.string("base"))")
      try withModel(base, generation: entry["generation_config"]) { folder in
        let model = try #require(try ModelCatalogue.load(ModelFolder(folder)) as? any GenerativeModel)
        let generator = SequenceGenerator(try Self.options(entry, model))
        let inputs = Self.lists(entry["inputs"]).map(Self.ids)
        let pass = ForwardPass(tape: Tape(pool: BufferPool(), recordsGradients: false))
        let found = generator.generate(
          sources: inputs, examples: inputs.indices.map { UInt32($0) }, model: model, pass)
        let expected = Self.lists(entry["sequences"]).map { Self.lists($0).map(Self.ids) }
        // What ends early is padded behind its end.
        for (found, expected) in zip(found, expected) {
          let tokens = zip(found, expected).map { found, expected in
            found.tokens
              + expected.dropFirst(found.tokens.count).filter { _ in
                found.tokens.last.map(model.description.eosIDs.contains) == true
              }
          }
          #expect(tokens == expected, "\(name)")
        }
      }
    }
  }

  private func withModel(_ base: URL, generation: JSON?, _ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("generation-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.copyItem(at: base, to: folder)
    let file = folder.appending(path: "generation_config.json")
    try FileManager.default.removeItem(at: file)
    if let generation { try Data(generation.encoded().utf8).write(to: file) }
    try body(folder)
  }

  @Test(arguments: [
    #"{"num_beams": "four"}"#, #"{"num_beams": 0}"#, #"{"early_stopping": "soon"}"#, #"{"suppress_tokens": 3}"#,
    #"{"bad_words_ids": [3]}"#, #"{"bad_words_ids": [[]]}"#, #"{"top_p": 2}"#, #"{"repetition_penalty": 0}"#,
    #"{"max_length": -1}"#, #"{"do_sample": 1}"#, #"{"forced_bos_token_id": -1}"#,
  ]) func aBadValueNamesItsKey(text: String) throws {
    guard case .object(let members) = try JSON.decode(Array(text.utf8), origin: "test") else { return }
    let error = try #require(throws: CheckpointError.self) {
      _ = try GenerationDefaults(JSONObject(members, origin: "m/generation_config.json"))
    }
    #expect("\(error)".contains("m/generation_config.json, key '\(members.keys[0])'"))
  }

  @Test func whatIsNotImplementedIsNamed() throws {
    let file = JSONObject(
      [
        "typical_p": 0.9, "num_beam_groups": 1, "penalty_alpha": 0.6, "renormalize_logits": false,
        "guidance_scale": .null,
      ],
      origin: "generation_config.json")
    #expect(try GenerationDefaults(file).unsupported.map(\.key) == ["penalty_alpha", "typical_p"])
  }
}
