import Foundation

/// What words are segmented into: the pieces of `spiece.model` with the sentinels above them, or those of `tokenizer.json`.
struct T5Pieces {
  /// UTF-8 of each piece, by id.
  let bytes: [[UInt8]]
  /// Their log-probabilities; those of sentinels are 0, as Hugging Face has it.
  let scores: [Double]
  let characterMap: [UInt8]
  /// The file of the pieces.
  let url: URL
  /// The loaded `spiece.model`, if there is one.
  let model: SentencePieceModel?
  /// Where `tokenizer.json` alone says it.
  let unknownID: Int?

  /// - Throws: `TokenizationError`: neither file, or two that do not belong together.
  init(folder: URL, _ configuration: T5TokenizerConfiguration) throws {
    let modelURL = folder.appendingPathComponent("spiece.model")
    let file = try configuration.settings.tokenizerJSON.map {
      try TokenizerFile($0, url: TokenizerSettings.tokenizerJSON(in: folder))
    }
    guard try TokenizerFiles.exists(modelURL) else {
      guard let file else {
        throw TokenizationError.missingFiles(
          folder: folder, family: "T5", expected: ["tokenizer.json", "spiece.model"])
      }
      (bytes, scores, characterMap, url) = (file.pieces, file.scores, file.characterMap, file.url)
      (model, unknownID) = (nil, file.unknownID)
      return
    }
    let model = try SentencePieceModel(contentsOf: modelURL)
    let count = Int32(model.count)
    let sentinels = (0..<configuration.sentinelCount).reversed().map(T5TokenizerConfiguration.sentinel)
    bytes = (0..<count).map(model.pieceBytes) + sentinels
    try file?.requireSame(bytes)
    scores = file?.scores ?? (0..<count).map { Double(model.score($0)) } + sentinels.map { _ in 0 }
    characterMap = file?.characterMap ?? model.characterMap
    (url, self.model, unknownID) = (modelURL, model, file?.unknownID)
  }
}
