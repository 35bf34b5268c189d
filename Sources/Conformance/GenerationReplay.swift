import Autograd
import Checkpoints
import Foundation
import NN
import TensorCore
import Training

/// Replays `generation/`: greedy decoding and beam search token for token, the padding of finished rows included, and the
/// filters of sampling.
@MainActor
final class GenerationReplay {
  private let root: ReferenceRoot
  private let inputs: SafetensorsFile
  private var models: [String: any GenerativeModel] = [:]

  static func reports(_ folder: URL) throws -> [CaseReport] {
    let json = try JSONObject(file: folder.appendingPathComponent("generation.json"))
    let replay = try GenerationReplay(folder)
    var reports = try json.objects("cases").map { entry in
      CaseReport("generation/\(try entry.string("id"))") { try replay.findings(entry) }
    }
    if ReferenceRoot.exists(folder.appendingPathComponent("beam_table.json")) {
      reports.append(CaseReport("generation/beam_table") { try BeamTableReplay.findings(folder) })
    }
    if ReferenceRoot.exists(folder.appendingPathComponent("filters.json")) {
      reports.append(CaseReport("generation/filters") { try SamplingFilterReplay.findings(folder) })
    }
    return reports
  }

  private init(_ folder: URL) throws {
    root = try ReferenceRoot(containing: folder)
    inputs = try SafetensorsFile(folder.appendingPathComponent("inputs.safetensors"))
  }

  private func findings(_ entry: JSONObject) throws -> [Finding] {
    let arguments = try entry.object("args")
    try requireKnown(arguments)
    let model = try model(entry)
    let method: any PEFTMethod =
      entry["adapter"] == nil
      ? FrozenBase() : try ReferenceModel.read(root.resolve("adapter", of: entry), model: model)
    let sources = try CaseInputs.sources(
      inputs, prefix: entry.string("inputs") + ".", model: model.description)
    // A decoder's sequences begin with the prompt as the reference padded it, which its rules look back on.
    let prompts =
      model.description.kind == .decoder
      ? try CaseInputs.padded(inputs, prefix: entry.string("inputs") + ".", model: model.description) : nil
    let options = try ReferenceGeneration.options(
      arguments, vocabularySize: model.description.vocabularySize, eosIDs: model.description.eosIDs,
      promptLength: prompts?.first?.count ?? 1)
    let padID = Int32(try arguments.int("pad_token_id", in: 0...model.description.vocabularySize - 1))

    MatrixBackend.prepareThread()
    let pool = BufferPool()
    let evaluator = LeafEvaluator(model: model, method: method)
    let pass = evaluator.inferencePass(sites: evaluator.sites(pool: pool), pool: pool)
    let examples = sources.indices.map { UInt32($0) }
    let decoding = model.startDecoding(
      sources: sources, examples: examples, maxNewTokens: options.maxNewTokens, beamCount: options.beamCount, pass)
    let generated = SequenceGenerator(options).generate(decoding, examples: examples, prompts: prompts, pass)
    var findings = try ReferenceGeneration.compare(generated.flatMap(\.self), options: options, padID: padID, entry)
    guard let logits = try entry.optionalDoubles("step0_max_logit") else { return findings }
    var first = Finding("first logit", Tolerance(absolute: 1e-4))
    let state = model.startDecoding(sources: sources, examples: examples, maxNewTokens: 1, pass)
    let row = state.step(
      tokens: sources.indices.compactMap { state.prompt(ofSource: $0).last }, parents: Array(sources.indices), pass)
    first.compare(
      sources.indices.map { Double(row.rows($0..<$0 + 1).values.max() ?? .nan) }, logits,
      at: "step0_max_logit")
    findings.append(first)
    return findings
  }

  private func model(_ entry: JSONObject) throws -> any GenerativeModel {
    let path = try entry.string("model")
    if let model = models[path] { return model }
    guard let model = try ReferenceModel.load(root.resolve("model", of: entry)) as? any GenerativeModel else {
      throw NotSupported(reason: "generation with \(path)")
    }
    models[path] = model
    return model
  }

  private func requireKnown(_ arguments: JSONObject) throws {
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
  }
}
