import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import Models
import Tokenization

struct InitModelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init-model",
    abstract: "Write a model that has learned nothing yet, to train it from the start.",
    discussion: """
      The result is a Hugging Face folder whose weights are drawn as transformers draws them for the family; the same --seed gives
      the same bytes. RoBERTa and BERT have the head that names masked tokens, or with --num-labels a classifier.

        peft-dist init-model --family t5 --vocab-size 8192 --hidden-size 256 --layers 4 --heads 4 --output model
        peft-dist init-model --family gpt2 --vocab-size 50257 --hidden-size 768 --layers 12 --heads 12 --output model
      """)

  @Option(help: ArgumentHelp("t5, gpt2, roberta or bert.", valueName: "name"))
  var family: String
  @Option(help: ArgumentHelp("Tokens of the vocabulary, special ones included.", valueName: "n"))
  var vocabSize: Int
  @Option(help: ArgumentHelp("Width of the model.", valueName: "n"))
  var hiddenSize: Int
  @Option(help: ArgumentHelp("Layers; of T5 in each stack.", valueName: "n"))
  var layers: Int
  @Option(help: ArgumentHelp("Attention heads of a layer.", valueName: "n"))
  var heads: Int
  @Option(help: ArgumentHelp("Width of the feed-forward layers (default: 4 times --hidden-size).", valueName: "n"))
  var feedForwardSize: Int?
  @Option(help: ArgumentHelp("T5: layers of the decoder (default: --layers).", valueName: "n"))
  var decoderLayers: Int?
  @Option(help: ArgumentHelp("T5: width of a head (default: --hidden-size divided by --heads).", valueName: "n"))
  var headWidth: Int?
  @Flag(help: "T5: gated feed-forward and a head of its own, as T5 1.1 and Flan have them.")
  var gated = false
  @Option(
    help: ArgumentHelp(
      "Tokens of the longest text; T5 knows no bound (default: GPT-2 1024, RoBERTa and BERT 512).", valueName: "n"))
  var maxPositions: Int?
  @Option(help: ArgumentHelp("RoBERTa and BERT: a classifier for so many labels.", valueName: "n"))
  var numLabels: Int?
  @Option(help: ArgumentHelp("Dropout rate in the configuration, used in training.", valueName: "rate"))
  var dropout = 0.1
  @Option(help: ArgumentHelp("Another seed draws other weights.", valueName: "n"))
  var seed: UInt64 = 42
  @Option(help: ArgumentHelp("fp32 or bf16: how the weights are stored.", valueName: "name"))
  var dtype = "fp32"
  @Option(help: ArgumentHelp("Folder whose tokenizer files are copied to the model.", valueName: "dir"))
  var tokenizer: String?
  @Option(help: ArgumentHelp("New or empty folder for the model.", valueName: "dir"))
  var output: String

  func validate() throws {
    guard let family = FreshModel.Family(rawValue: family) else {
      throw ValidationError(
        "--family \(family): expected \(FreshModel.Family.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    let counts = [
      ("--vocab-size", vocabSize, family == .t5 ? 3 : 4), ("--hidden-size", hiddenSize, 1), ("--layers", layers, 1),
      ("--heads", heads, 1), ("--feed-forward-size", feedForwardSize ?? 1, 1),
      ("--decoder-layers", decoderLayers ?? 1, 1), ("--head-width", headWidth ?? 1, 1),
      ("--max-positions", maxPositions ?? 1, 1), ("--num-labels", numLabels ?? 1, 1),
    ]
    for (flag, value, least) in counts {
      let most = flag.hasSuffix("layers") ? Self.mostLayers : Self.most
      guard (least...most).contains(value) else {
        throw ValidationError("\(flag) \(value): expected \(least) to \(most)")
      }
    }
    guard hiddenSize % heads == 0 || headWidth != nil else {
      throw ValidationError(
        "--heads \(heads): --hidden-size \(hiddenSize) is not a multiple of it"
          + (family == .t5 ? "; give --head-width, too" : ""))
    }
    let ofT5: [(String, Bool)] = [
      ("--decoder-layers", decoderLayers != nil), ("--head-width", headWidth != nil), ("--gated", gated),
    ]
    for (flag, isGiven) in ofT5 where isGiven && family != .t5 {
      throw ValidationError("\(flag) is for --family t5, not \(family.rawValue)")
    }
    guard maxPositions == nil || family != .t5 else {
      throw ValidationError("--max-positions: T5 knows no longest text, leave it out")
    }
    guard numLabels == nil || family == .roberta || family == .bert else {
      throw ValidationError("--num-labels is for --family roberta or bert, not \(family.rawValue)")
    }
    guard (0..<1).contains(dropout) else {
      throw ValidationError("--dropout \(dropout): expected a rate from 0 to below 1")
    }
    guard ["fp32", "bf16"].contains(dtype) else { throw ValidationError("--dtype \(dtype): expected fp32 or bf16") }
  }

  /// No size may be so large that the product of two of them overflows.
  private static let most = 1 << 22
  /// As the readers of configurations take.
  private static let mostLayers = 1024

  func run() throws {
    let target = try OutputFolder.new(output)
    var shape = FreshModelShape(
      vocabularySize: vocabSize, hiddenSize: hiddenSize, layerCount: layers, headCount: heads)
    shape.feedForwardSize = feedForwardSize
    shape.decoderLayerCount = decoderLayers
    shape.headWidth = headWidth
    shape.isGated = gated
    shape.positionCount = maxPositions
    shape.labelCount = numLabels
    shape.dropoutRate = dropout
    // Before anything is written: a tokenizer that does not fit leaves no half of a model behind.
    if let folder = tokenizer.map({ URL(fileURLWithPath: $0) }) {
      let tokenizer = try TokenizerCatalogue.load(folder: folder, modelType: family)
      try tokenizer.validate(modelVocabularySize: vocabSize)
      shape.endOfTextID = Int(tokenizer.eosID)
    }
    let model = FreshModel(FreshModel.Family(rawValue: family) ?? .t5, shape)
    let count = model.weights.reduce(0) { $0 + $1.shape.reduce(1, *) }
    try requireRoom(for: count * (dtype == "bf16" ? 2 : 4), at: target)
    let digest = try model.write(to: target, seed: seed, as: dtype == "bf16" ? .bf16 : .f32)
    if let tokenizer { try ModelFolder.copyTokenizer(of: URL(fileURLWithPath: tokenizer), to: target) }
    print("model   \(target.path)")
    print("weights \(ReadableNumbers.grouped(count)) in \(model.weights.count) tensors")
    print("sha256  \(digest.sha256)")
  }

  /// - Throws: `ValidationError` where the file system has less.
  private func requireRoom(for bytes: Int, at target: URL) throws {
    guard let free = FileSystemSpace(of: target.deletingLastPathComponent().path)?.free, free < bytes else { return }
    throw ValidationError(
      "a model of these sizes has \(ReadableNumbers.bytes(bytes)) of weights; the file system of \(target.path) has "
        + "\(ReadableNumbers.bytes(free)) left")
  }
}
