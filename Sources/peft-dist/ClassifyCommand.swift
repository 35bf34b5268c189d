import ArgumentParser
import Autograd
import Checkpoints
import Diagnostics
import Foundation
import NN
import PEFTMethods
import Tasks
import TensorCore
import Tokenization
import Training

struct ClassifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "classify",
    abstract: "Say what a classifier makes of a text, or of a pair of texts.",
    discussion: """
      Prints the labels and their probabilities, the likeliest first; of a regression the value.

        peft-dist classify --model roberta-base --adapter runs/mrpc/adapter "He left at noon." "At noon he went away."
      """)

  @OptionGroup(title: "Model") var model: ModelFlags
  @Option(help: ArgumentHelp("Adapter folder in Hugging Face PEFT format.", valueName: "dir"))
  var adapter: String?
  @Option(help: ArgumentHelp("Names of the labels by number (default: those of adapter or model).", valueName: "a,b,c"))
  var labelNames: String?
  @Flag(help: "Lowercase the texts, as --lowercase of the training did.")
  var lowercase = false
  @Flag(help: "Print one JSON object.")
  var json = false
  @Argument(help: ArgumentHelp("The text.", valueName: "text"))
  var text: String
  @Argument(help: ArgumentHelp("The second text of a pair.", valueName: "text2"))
  var second: String?

  func run() throws {
    try MainActor.assumeIsolated {
      try chooseKernels()
      try classify()
    }
  }

  @MainActor
  private func classify() throws {
    let folder = try ModelFolder(URL(fileURLWithPath: model.model))
    let given = labelNames.map { $0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } }
    let known = try adapter.flatMap { try LabelNamesFile.read(URL(fileURLWithPath: $0)) }
    let place = try Workplace(
      folder, head: HeadRequest(labels: given ?? known, replacesOtherSize: adapter != nil), threads: 1,
      cache: DataFlags.cacheFolder(nil), world: nil)
    guard let classifier = place.model as? any ClassifierModel, let head = classifier.description.head else {
      throw CheckpointError.wrongModelType(
        path: folder.config.origin, expected: ["bert", "roberta"],
        found: "'\(folder.modelType ?? "nothing")', which writes text: see generate")
    }
    if adapter == nil { try place.requireTrainedHead() }
    let method = try place.method(adapter: adapter)
    MatrixBackend.prepareThread()
    let pool = BufferPool()
    let evaluator = LeafEvaluator(model: classifier, method: method)
    let pass = evaluator.inferencePass(sites: evaluator.sites(pool: pool), pool: pool)
    let input: (ids: [Int32], secondStart: Int)
    if let settings = try TaskSettings.first(adapter: adapter, model: model.model) {
      var trained = settings
      trained.lowercase = trained.lowercase || lowercase
      let wording = try SourceWording(trained, model: classifier.description)
      let limit = try place.sourceLimit(settings.maxSourceLength, method)
      let example = try wording.encoded(
        [text] + (second.map { [$0] } ?? []), index: 0, limit: limit, place.tokenizer, place: "classify",
        separator: "given one after the other")
      input = (example.source, example.secondStart)
      if wording.cutCount > 0 { RunLog.notice("the text is cut to \(limit) tokens, as in training") }
    } else {
      let assembled = try tokens(place, method)
      input = (assembled.ids, assembled.secondStart)
    }
    let batch = LeafBatch(sources: [input.ids], labels: [[0]], examples: [0], secondStarts: [input.secondStart])
    report(classifier.logits(batch, pass).value.values, head)
  }

  /// The texts as training read them, cut to what the model has room for.
  @MainActor
  private func tokens(_ place: Workplace, _ method: any PEFTMethod) throws -> AssembledTokens {
    func ids(_ text: String) -> [Int32] { place.tokenizer.tokens(of: lowercase ? text.lowercased() : text) }
    let limit = try place.sourceLimit(nil, method)
    let (first, other) = (ids(text), second.map(ids))
    let room = max(limit - place.tokenizer.specialTokenCount(isPair: other != nil), 0)
    let lengths = PairTruncation.longestFirst(first.count, other?.count ?? 0, room: room)
    return place.tokenizer.assemble(
      Array(first.prefix(lengths.first)), other.map { Array($0.prefix(lengths.second)) })
  }

  private func report(_ scores: [Float], _ head: ClassifierHead) {
    let probabilities = head.problem == .multiLabel ? scores.map { 1 / (1 + exp(-Double($0))) } : softmax(scores)
    guard head.problem != .regression else {
      print(json ? JSON.object(["value": .double(Double(scores[0]))]).encoded(.compact) : "\(scores[0])")
      return
    }
    guard !json else {
      let members = zip(head.labels, probabilities).map { ($0, JSON.double($1)) }
      print(JSON.object(Dictionary(members, uniquingKeysWith: { first, _ in first })).encoded(.indented))
      return
    }
    let order = probabilities.indices.sorted { probabilities[$0] > probabilities[$1] }
    for index in order { print("\(head.labels[index]) \(String(format: "%.0f", 100 * probabilities[index])) %") }
  }

  private func softmax(_ scores: [Float]) -> [Double] {
    let top = Double(scores.max() ?? 0)
    let weights = scores.map { exp(Double($0) - top) }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }
}
