import Autograd
import Checkpoints
import Foundation
import NN
import TensorCore
import Training

/// Replays `generation/`: greedy decoding token for token, the padding of finished rows included.
@MainActor
final class GenerationReplay {
  private let root: ReferenceRoot
  private let inputs: SafetensorsFile
  private var models: [String: any LanguageModel] = [:]

  static func reports(_ folder: URL) throws -> [CaseReport] {
    let json = try JSONObject(file: folder.appendingPathComponent("generation.json"))
    let replay = try GenerationReplay(folder)
    var reports = try json.objects("cases").map { entry in
      CaseReport("generation/\(try entry.string("id"))") { try replay.findings(entry) }
    }
    for (name, reason) in [("filters", "sampling"), ("beam_table", "beam search")]
    where ReferenceRoot.exists(folder.appendingPathComponent("\(name).json")) {
      reports.append(CaseReport("generation/\(name)", .notSupported(reason: reason)))
    }
    return reports
  }

  private init(_ folder: URL) throws {
    root = try ReferenceRoot(containing: folder)
    inputs = try SafetensorsFile(folder.appendingPathComponent("inputs.safetensors"))
  }

  private func findings(_ entry: JSONObject) throws -> [Finding] {
    let arguments = try entry.object("args")
    try requireGreedy(arguments)
    let model = try model(entry)
    let method: any PEFTMethod =
      entry["adapter"] == nil
      ? FrozenBase() : try ReferenceModel.read(root.resolve("adapter", of: entry), model: model)
    let sources = try CaseInputs.sources(
      inputs, prefix: entry.string("inputs") + ".", model: model.description)
    let options = try options(arguments, model: model.description)
    let padID = Int32(try arguments.int("pad_token_id", in: 0...model.description.vocabularySize - 1))

    MatrixBackend.prepareThread()
    let pool = BufferPool()
    let evaluator = LeafEvaluator(model: model, method: method)
    let pass = evaluator.inferencePass(sites: evaluator.sites(pool: pool), pool: pool)
    let examples = sources.indices.map { UInt32($0) }
    let generated = GreedyDecoder(options).generate(sources: sources, examples: examples, model: model, pass)
    let longest = generated.map(\.count).max() ?? 0
    let found = generated.map { $0.map { Int($0) } + Array(repeating: Int(padID), count: longest - $0.count) }

    var sequences = Finding("sequences")
    let expected = try entry.integerLists("sequences")
    sequences.compare(exactly: found.count, expected.count, at: "rows")
    for (row, pair) in zip(found, expected).enumerated() {
      sequences.compare(exactly: pair.0, pair.1, at: "row \(row)")
    }
    guard let logits = try entry.optionalDoubles("step0_max_logit") else { return [sequences] }
    var first = Finding("first logit", Tolerance(absolute: 1e-4))
    let state = model.startDecoding(sources: sources, examples: examples, maxNewTokens: 1, pass)
    let row = state.step(
      tokens: sources.map { _ in state.startToken }, active: Array(sources.indices), pass)
    first.compare(
      sources.indices.map { Double(row.rows($0..<$0 + 1).values.max() ?? .nan) }, logits,
      at: "step0_max_logit")
    return [sequences, first]
  }

  private func model(_ entry: JSONObject) throws -> any LanguageModel {
    let path = try entry.string("model")
    if let model = models[path] { return model }
    let model = try ReferenceModel.load(root.resolve("model", of: entry))
    models[path] = model
    return model
  }

  private func requireGreedy(_ arguments: JSONObject) throws {
    let known: Set = [
      "num_beams", "max_new_tokens", "max_length", "min_new_tokens", "min_length", "no_repeat_ngram_size",
      "repetition_penalty", "eos_token_id", "pad_token_id", "do_sample", "num_return_sequences",
      "length_penalty",
      "early_stopping",
    ]
    if let unknown = arguments.members.keys.filter({ !known.contains($0) }).min() {
      throw NotSupported(reason: "generation option \(unknown)")
    }
    if try arguments.optionalBool("do_sample") == true { throw NotSupported(reason: "sampling") }
    let beams = try arguments.optionalInt("num_beams") ?? 1
    guard beams == 1 else { throw NotSupported(reason: "beam search, num_beams \(beams)") }
  }

  /// HF's `max_length` and `min_length` count the start token.
  private func options(_ arguments: JSONObject, model: ModelDescription) throws -> GenerationOptions {
    let eosIDs: [Int]
    if case .array? = arguments["eos_token_id"] {
      eosIDs = try arguments.ints("eos_token_id")
    } else {
      eosIDs = try arguments.optionalInt("eos_token_id").map { [$0] } ?? model.eosIDs.map { Int($0) }
    }
    guard eosIDs.allSatisfy({ (0..<model.vocabularySize).contains($0) }) else {
      throw arguments.error("eos_token_id", expected: "ids below \(model.vocabularySize)")
    }
    var options = GenerationOptions(eosIDs: eosIDs.map { Int32($0) })
    if arguments["max_new_tokens"] != nil {
      options.maxNewTokens = try arguments.int("max_new_tokens", in: 1...100_000)
    } else {
      options.maxNewTokens = try arguments.int("max_length", in: 2...100_000) - 1
    }
    options.minNewTokens = try arguments.optionalInt("min_new_tokens") ?? 0
    options.minLength = try arguments.optionalInt("min_length") ?? 0
    options.noRepeatNgramSize = try arguments.optionalInt("no_repeat_ngram_size") ?? 0
    options.repetitionPenalty = Float(try arguments.optionalDouble("repetition_penalty") ?? 1)
    return options
  }
}
