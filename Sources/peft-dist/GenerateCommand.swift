import ArgumentParser
import Autograd
import Checkpoints
import Collectives
import Diagnostics
import Foundation
import NN
import Tasks
import TensorCore
import Tokenization
import Training

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Generate text: one answer for each line of standard input or of --input.",
    discussion: """
      Answers are printed in the order of the lines, --num-return-sequences of them for each, best first. The options of the
      search have the names and meanings of Hugging Face's `generate`. What sampling draws depends on --seed and the number of
      the line alone.

      With an adapter of this program, or a model that it tuned, texts are worded, cut and answered as in its training; where
      that has two texts, a line has both, with a tab between them. Flags win, and --raw leaves the texts as they are.

        peft-dist generate --model t5-small --adapter runs/lora/adapter --num-beams 4 --max-new-tokens 60 < texts
        peft-dist generate --model t5-small --do-sample --top-p 0.9 --num-return-sequences 3 --seed 7 < texts
      """)

  @OptionGroup(title: "Model") var model: ModelFlags
  @Option(help: ArgumentHelp("Adapter folder in Hugging Face PEFT format.", valueName: "dir"))
  var adapter: String?
  @Option(help: ArgumentHelp("File with one source text a line (default: standard input).", valueName: "file"))
  var input: String?
  @Option(
    help: ArgumentHelp(
      "Write one JSON line per source, with line, source, predictions and scores, instead of printing the answers.",
      valueName: "file"))
  var output: String?
  @Option(
    help: ArgumentHelp(
      "Cut sources to this many tokens, of a decoder such as GPT-2 the last ones (default: 512, or what the model has room for).",
      valueName: "tokens"))
  var maxSourceLength: Int?
  @Option(
    help: ArgumentHelp(
      "Most tokens to generate (default: as the model's generation_config.json says, or 64).", valueName: "n"))
  var maxNewTokens: Int?
  @Option(
    help: ArgumentHelp(
      "Most tokens of an answer, of a decoder with its prompt, where --max-new-tokens is not given.", valueName: "n"))
  var maxLength: Int?
  @Option(
    help: ArgumentHelp("Answers for each line: samples, otherwise at most --num-beams (default: 1).", valueName: "n"))
  var numReturnSequences: Int?
  @Flag(help: "Take the lines as they are, without what the training of the adapter did to its texts.")
  var raw = false
  @OptionGroup(title: "Search") var search: SearchFlags
  @Option(help: ArgumentHelp("Sampling: another seed draws other answers (default: 42).", valueName: "n"))
  var seed: UInt64?
  @Option(help: ArgumentHelp("Leaf workers (default: the cores of this process).", valueName: "n"))
  var threadsPerRank: Int?
  @Option(
    help: ArgumentHelp(
      "fp32; bf16: frozen projections in bfloat16; fp16: weights and activations in half precision.", valueName: "name")
  )
  var precision = Precision.fp32.rawValue

  private static let usualNewTokens = 64

  func validate() throws {
    try OptionRanges.check(
      [
        ("--max-source-length", maxSourceLength, 2), ("--max-new-tokens", maxNewTokens, 1),
        ("--max-length", maxLength, 2),
        ("--num-return-sequences", numReturnSequences, 1), ("--threads-per-rank", threadsPerRank, 1),
      ], most: DataFlags.lengths.upperBound)
    let file = GenerationDefaults.peek(model.model)
    let known = search.resolved(file, tells: false)
    if let numReturnSequences, numReturnSequences > (known.isSampling ? 256 : known.beamCount) {
      throw ValidationError(
        known.isSampling
          ? "--num-return-sequences \(numReturnSequences): expected at most 256"
          : "--num-return-sequences \(numReturnSequences): there are as many answers as beams: --num-beams \(known.beamCount)"
      )
    }
    try search.requireUsed(model: model.model, sampling: [("--seed", seed.map { "\($0)" })])
    guard Precision(rawValue: precision) != nil else {
      throw ValidationError("--precision \(precision): expected fp32, bf16 or fp16")
    }
    let limit = maxNewTokens ?? maxLength ?? file.maxNewTokens ?? file.maxLength ?? Self.usualNewTokens
    try search.check(most: limit, flag: "--max-new-tokens")
  }

  func run() throws {
    try MainActor.assumeIsolated {
      StopRequest.handle()
      StopRequest.listen()
      try chooseKernels()
      guard try generate() == .complete else { throw ExitCode(75) }
    }
  }

  /// How answers are generated: as the flags say, and where they are silent as the model's files do.
  @MainActor
  private func options(_ place: Workplace, _ settings: TaskSettings?) throws -> GenerationOptions {
    let defaults = try GenerationDefaults(place.folder)
    let search = try search.filled(from: settings).resolved(defaults)
    let trained = settings?.maxTargetLength
    let isOfFile = maxNewTokens == nil && maxLength == nil && trained == nil
    // As HF: of the two the number of new tokens counts.
    let newTokens = maxNewTokens ?? (maxLength == nil ? trained : nil) ?? (isOfFile ? defaults.maxNewTokens : nil)
    let length = newTokens == nil ? maxLength ?? defaults.maxLength : nil
    if isOfFile, let limit = newTokens ?? length {
      RunLog.notice(
        "answers follow \(defaults.origin): \(newTokens == nil ? "max_length" : "max_new_tokens") \(limit); flags win over it"
      )
    }
    var options = try search.options(
      place.model.description, maxNewTokens: newTokens ?? length ?? Self.usualNewTokens, maxLength: length,
      tokenizer: place.tokenizer,
      seed: seed ?? SearchFlags.defaultSeed)
    let most = search.isSampling ? 256 : options.beamCount
    options.returnCount = numReturnSequences ?? min(defaults.returnCount ?? 1, most)
    return options
  }

  /// Lines in leaves, each decoded by one worker; answers are printed in order as soon as all before them are there.
  @MainActor
  private func generate() throws -> LeafDispatch.Ending {
    if let output { try OutputFile.requireWritable(output) }
    let place = try Workplace(
      ModelFolder(URL(fileURLWithPath: model.model)), threads: threadsPerRank,
      precision: Precision(rawValue: precision) ?? .fp32,
      cache: DataFlags.cacheFolder(nil), packsHead: true, world: nil)
    let method = try place.method(adapter: adapter)
    let evaluator = LeafEvaluator(model: place.model, method: method, weights: place.weights)
    let writer = try place.writer()
    let sites = evaluator.sites(pool: BufferPool())
    let settings = raw ? nil : try TaskSettings.first(adapter: adapter, model: model.model)
    let wording = try settings.map { try SourceWording($0, model: place.model.description) }
    var options = try options(place, settings)
    let isDecoder = writer.description.kind == .decoder
    if isDecoder, let length = options.maxLength, let positions = writer.description.positionCount {
      options.maxLength = min(length, positions - method.occupiedPositionCount)
    }
    let generator = SequenceGenerator(options)
    let tokenizer = place.tokenizer
    let limit = try place.sourceLimit(
      maxSourceLength ?? wording?.settings.maxSourceLength, method,
      target: ("--max-new-tokens", isDecoder ? (options.maxLength == nil ? options.maxNewTokens : 1) : 0))
    let lines = try lines()
    var rawCutCount = 0
    let sources = try lines.enumerated().map { index, line in
      if let wording { return try wording.ids(of: line, index: index, limit: limit, tokenizer) }
      let source = source(of: line, limit: limit, tokenizer, writer.description.kind)
      if source.isCut { rawCutCount += 1 }
      return source.ids
    }
    if let wording { RunLog.notice(wording.notice) }
    let cutCount = wording?.cutCount ?? rawCutCount
    if cutCount > 0 {
      RunLog.notice("\(cutCount) of \(lines.count) texts cut to \(limit) tokens (--max-source-length)")
    }
    if isDecoder, let length = options.maxLength, let line = sources.firstIndex(where: { $0.count >= length }) {
      throw ValidationError(
        "line \(line + 1) has \(sources[line].count) tokens, of the \(length) that prompt and answer may have together; give "
          + "--max-new-tokens, or a greater --max-length")
    }
    let leaves = SequenceGenerator.leaves(count: sources.count, beamCount: options.rowsPerSource)
    let pools = (0..<place.workers.threadCount).map { _ in BufferPool() }
    let answers = AnswerTable(count: sources.count)
    let (writesFile, dropsSpace) = (output != nil, wording != nil && isDecoder)
    let ending = try LeafDispatch(world: nil, workers: place.workers).run(
      order: Array(leaves.indices), shouldStop: { StopRequest.isPending },
      onPoll: { if output == nil { try Self.show(answers.takeReady()) } }
    ) { worker, leaf in
      MatrixBackend.prepareThread()
      let range = leaves[leaf]
      let pass = evaluator.inferencePass(sites: sites, pool: pools[worker])
      let generated = generator.generate(
        sources: Array(sources[range]), examples: range.map { UInt32($0) }, model: writer, pass)
      for (index, sequences) in zip(range, generated) {
        let texts = sequences.map { sequence in
          let text = tokenizer.decode(sequence.answer, skippingSpecialTokens: true)
          let answer = generator.options.stops?.cut(text) ?? text
          // Between the question and its answer there is a space.
          return dropsSpace && answer.first == " " ? String(answer.dropFirst()) : answer
        }
        answers.set(
          index,
          writesFile
            ? [Self.record(line: index + 1, lines[index], texts, sequences.compactMap(\.score))] : texts)
      }
    }
    let rest = answers.takeReady()
    if let output, ending == .complete {
      try AtomicFile.write(Array(rest.joined().utf8), to: URL(fileURLWithPath: output))
    } else if output == nil {
      try Self.show(rest)
    }
    return ending
  }

  /// Prints answers as soon as they are there, and finds out at once when nobody takes them.
  private static func show(_ answers: [String]) throws {
    guard !answers.isEmpty else { return }
    for answer in answers { print(answer) }
    try StandardStreams.flushOutput()
  }

  /// One line of `--output`; the scores are those of beam search, and null otherwise.
  private static func record(line: Int, _ source: String, _ predictions: [String], _ scores: [Float]) -> String {
    JSON.object([
      "line": .integer(line), "source": .string(source), "predictions": .array(predictions.map { .string($0) }),
      "scores": scores.isEmpty ? .null : .array(scores.map { .double(Double($0)) }),
    ]).encoded(.compact) + "\n"
  }

  /// An encoder reads a text from its beginning on; a decoder goes on from its end.
  private func source(of line: String, limit: Int, _ tokenizer: any Tokenizer, _ kind: ModelKind) -> (
    ids: [Int32], isCut: Bool
  ) {
    let ids = tokenizer.tokens(of: line)
    guard kind == .decoder else {
      let kept = ids.prefix(limit - tokenizer.specialTokenCount(isPair: false))
      return (tokenizer.assemble(Array(kept), nil).ids, kept.count < ids.count)
    }
    return (ids.isEmpty ? [tokenizer.eosID] : Array(ids.suffix(limit)), ids.count > limit)
  }

  private func lines() throws -> [String] {
    if let input { return try TextCorpus.lines(of: URL(fileURLWithPath: input)) }
    guard let data = try? FileHandle.standardInput.readToEnd() ?? Data() else {
      throw DataError.unreadable(URL(fileURLWithPath: "/dev/stdin"), reason: "standard input is closed")
    }
    return try TextCorpus.lines(data, url: URL(fileURLWithPath: "/dev/stdin"))
  }
}
