import Diagnostics
import Foundation

/// What can be wrong with the files of a tokenizer.
public enum TokenizationError: DescribedError, Equatable {
  /// A folder has no tokenizer model.
  case missingFile(URL)
  /// A file exists but cannot be read.
  case unreadable(URL, reason: String)
  /// `spiece.model` is no SentencePiece model, or one that cannot work as T5's vocabulary.
  case corruptModel(URL, reason: String)
  /// `tokenizer_config.json` or `special_tokens_map.json` cannot be understood.
  case badConfiguration(URL, reason: String)
  /// The tokenizer and the model do not belong together.
  case vocabularyMismatch(tokenizer: URL, ids: Int, embeddingRows: Int)
  /// The SentencePiece library refused a request.
  case library(doing: String, reason: String)
  /// No vocabulary of this size can be made of the text.
  case untrainable(pieces: Int, reason: String)

  public var description: String {
    switch self {
    case .missingFile(let url):
      "reading the tokenizer: \(url.path) does not exist; copy the spiece.model of the base model there, "
        + "or name the folder that has it"
    case .unreadable(let url, let reason):
      "reading the tokenizer: cannot read \(url.path): \(reason)"
    case .corruptModel(let url, let reason):
      "reading the tokenizer: \(url.path) is not a usable SentencePiece model: \(reason); "
        + "fetch the file again"
    case .badConfiguration(let url, let reason):
      "reading the tokenizer: \(url.path): \(reason)"
    case .vocabularyMismatch(let url, let ids, let rows):
      "the tokenizer \(url.path) has \(ids) ids, but the model's embedding has \(rows) rows: "
        + "this spiece.model belongs to another vocabulary; use the one that came with the model"
    case .library(let doing, let reason):
      "\(doing): the SentencePiece library failed: \(reason)"
    case .untrainable(let pieces, let reason):
      "training a vocabulary of \(pieces) pieces: \(reason)"
    }
  }
}
