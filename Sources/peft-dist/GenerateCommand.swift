import ArgumentParser
import Diagnostics
import Foundation
import NN
import TensorCore
import Training

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Generate text: one answer for each line of standard input or of --input.")

  @OptionGroup(title: "Model") var model: ModelFlags
  @Option(help: ArgumentHelp("Adapter folder in Hugging Face PEFT format.", valueName: "dir"))
  var adapter: String?
  @Option(help: ArgumentHelp("File with one source text a line (default: standard input).", valueName: "file"))
  var input: String?
  @Option(help: ArgumentHelp("Cut sources after this many tokens.", valueName: "tokens"))
  var maxSourceLength = 512
  @Option(help: ArgumentHelp("Most tokens to generate.", valueName: "n"))
  var maxNewTokens = 64
  @Option(help: ArgumentHelp("Fewest tokens to generate.", valueName: "n"))
  var minNewTokens = 0
  @Option(help: ArgumentHelp("No n-gram of this size twice; 0 for no rule.", valueName: "n"))
  var noRepeatNgramSize = 0
  @Option(help: ArgumentHelp("Divide the scores of tokens already there by this.", valueName: "x"))
  var repetitionPenalty: Float = 1
  @Option(help: ArgumentHelp("Leaf workers (default: the cores of this process).", valueName: "n"))
  var threadsPerRank: Int?

  func validate() throws {
    let least = [
      ("--max-source-length", maxSourceLength, 2), ("--max-new-tokens", maxNewTokens, 1),
      ("--min-new-tokens", minNewTokens, 0), ("--no-repeat-ngram-size", noRepeatNgramSize, 0),
      ("--threads-per-rank", threadsPerRank ?? 1, 1),
    ]
    for (flag, value, bound) in least where value < bound {
      throw ValidationError("\(flag) \(value): expected at least \(bound)")
    }
    guard repetitionPenalty > 0, repetitionPenalty.isFinite else {
      throw ValidationError("--repetition-penalty \(repetitionPenalty): expected a number above 0")
    }
  }

  func run() throws {
    try MainActor.assumeIsolated {
      try agreeOnKernels(over: nil)
      try generate()
    }
  }

  /// Lines in leaves of at most 16, each decoded by one worker, printed in order.
  @MainActor
  private func generate() throws {
    let place = try Workplace(
      model: model.model, threads: threadsPerRank, cache: DataFlags.cacheFolder(nil), world: nil)
    let evaluator = LeafEvaluator(model: place.model, method: try place.method(adapter: adapter))
    let sites = evaluator.sites(pool: BufferPool())
    var options = GenerationOptions(eosIDs: place.model.description.eosIDs)
    options.maxNewTokens = maxNewTokens
    options.minNewTokens = minNewTokens
    options.noRepeatNgramSize = noRepeatNgramSize
    options.repetitionPenalty = repetitionPenalty
    let decoder = GreedyDecoder(options)
    let tokenizer = place.tokenizer
    let sources = try lines().map { line -> [Int32] in
      let ids = tokenizer.encode(line)
      return ids.count <= maxSourceLength ? ids : Array(ids.prefix(maxSourceLength - 1)) + [tokenizer.eosID]
    }
    let size = 16
    let answers = AnswerTable(count: sources.count)
    place.workers.run(count: (sources.count + size - 1) / size) { _, item in
      MatrixBackend.prepareThread()
      let range = item * size..<min((item + 1) * size, sources.count)
      let pass = evaluator.inferencePass(sites: sites, pool: BufferPool())
      let generated = decoder.generate(
        sources: Array(sources[range]), examples: range.map { UInt32($0) }, model: evaluator.model, pass)
      for (index, ids) in zip(range, generated) {
        answers.set(index, tokenizer.decode(ids, skippingSpecialTokens: true))
      }
    }
    try place.workers.wait()
    for answer in answers.texts { print(answer) }
  }

  private func lines() throws -> [String] {
    let text =
      try input.map { try TextFile.read($0, as: "source texts") }
      ?? TextFile.read(FileHandle.standardInput, path: "standard input", as: "source texts on")
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines.map(String.init)
  }
}
