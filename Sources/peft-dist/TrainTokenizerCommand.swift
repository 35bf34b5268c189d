import ArgumentParser
import Checkpoints
import Diagnostics
import Foundation
import Tasks
import Tokenization

struct TrainTokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train-tokenizer",
    abstract: "Make a vocabulary of a text: SentencePiece unigrams for T5, byte-level BPE for GPT-2 and RoBERTa.",
    discussion: """
      Writes spiece.model, or vocab.json and merges.txt, with tokenizer.json and tokenizer_config.json, which Hugging Face loads, too. \
      T5's sentinels of span corruption come on top of --vocab-size. The same text gives the same bytes.

        peft-dist train-tokenizer --input train.jsonl --vocab-size 8000 --output tokenizer
      """)

  @Option(help: ArgumentHelp("t5, gpt2 or roberta.", valueName: "name"))
  var family = "t5"
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Texts: files of one text a line, or .jsonl, .csv and .tsv files with --column.", valueName: "file"))
  var input: [String]
  @Option(
    help: ArgumentHelp(
      "Column of files with columns to take; may be given several times (default: text).", valueName: "name")
  )
  var column: [String] = []
  @Option(help: ArgumentHelp("Pieces, special ones such as <pad>, </s> and <unk> included.", valueName: "n"))
  var vocabSize: Int
  @Option(help: ArgumentHelp("T5: sentinels on top of the pieces.", valueName: "n"))
  var extraIds = 100
  @Option(help: ArgumentHelp("T5: share of the text's characters that get a piece.", valueName: "share"))
  var characterCoverage = 0.9995
  @Option(help: ArgumentHelp("Learn from so many of the texts, drawn by --seed (default: all).", valueName: "n"))
  var maxTexts: Int?
  @Option(help: ArgumentHelp("Another seed draws other texts.", valueName: "n"))
  var seed: UInt64 = 42
  @Option(help: ArgumentHelp("New or empty folder for the tokenizer.", valueName: "dir"))
  var output: String

  func validate() throws {
    guard family == "t5" || ByteLevelTokenizerFiles.Family(rawValue: family) != nil else {
      throw ValidationError("--family \(family): expected t5, gpt2 or roberta")
    }
    guard family == "t5" || vocabSize >= 262 else {
      throw ValidationError("--vocab-size \(vocabSize): expected at least 262, 256 bytes and the special tokens")
    }
    for (flag, value, range) in [
      ("--vocab-size", vocabSize, 4...10_000_000), ("--extra-ids", extraIds, 0...10_000),
      ("--max-texts", maxTexts ?? 1, 1...Int.max),
    ] where !range.contains(value) {
      throw ValidationError("\(flag) \(value): expected \(range.lowerBound) to \(range.upperBound)")
    }
    // What SentencePiece takes.
    guard (0.98...1).contains(characterCoverage) else {
      throw ValidationError("--character-coverage \(characterCoverage): expected a share from 0.98 to 1")
    }
  }

  func run() throws {
    let target = try OutputFolder.new(output)
    var texts: [String] = []
    for path in input {
      texts += try TextCorpus.texts(of: URL(fileURLWithPath: path), columns: column.isEmpty ? ["text"] : column)
    }
    if let maxTexts, maxTexts < texts.count {
      let order = DataOrder(count: texts.count, seed: seed)
      texts = (0..<maxTexts).map { order.example(epoch: 0, position: $0) }.sorted().map { texts[$0] }
    }
    RunLog.notice("learning \(vocabSize) pieces from \(ReadableNumbers.grouped(texts.count)) texts")
    let digest =
      if let family = ByteLevelTokenizerFiles.Family(rawValue: family) {
        try writeByteLevel(family, texts, to: target)
      } else {
        try writeUnigram(texts, to: target)
      }
    let tokenizer = try TokenizerCatalogue.load(folder: target, modelType: family)
    print("tokenizer \(target.path)")
    print("ids       \(tokenizer.vocabularyCount): a model needs at least this --vocab-size")
    print("sha256    \(digest.sha256)")
  }

  private func writeByteLevel(
    _ family: ByteLevelTokenizerFiles.Family, _ texts: [String], to target: URL
  ) throws -> FileDigest {
    let trainer = MergeTrainer(
      vocabularySize: vocabSize - ByteLevelTokenizerFiles.lastTokens(family).count,
      firstTokens: ByteLevelTokenizerFiles.firstTokens(family))
    let files = ByteLevelTokenizerFiles(family: family, vocabulary: try trainer.train(texts))
    return try ModelFolder.write(
      tokenizer: Array(files.merges.utf8), named: "merges.txt", companions: files.json, to: target)
  }

  private func writeUnigram(_ texts: [String], to target: URL) throws -> FileDigest {
    var trainer = VocabularyTrainer(pieceCount: vocabSize)
    trainer.characterCoverage = characterCoverage
    let model = try trainer.train(texts)
    let files = T5TokenizerFiles(
      model: try SentencePieceModel(bytes: model, name: "the trained vocabulary"), sentinelCount: extraIds)
    return try ModelFolder.write(
      tokenizer: model, named: "spiece.model",
      companions: ["tokenizer_config.json": files.config, "tokenizer.json": files.tokenizer],
      to: target)
  }
}
