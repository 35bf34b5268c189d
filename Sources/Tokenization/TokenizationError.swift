import Diagnostics
import Foundation

/// What can be wrong with the files of a tokenizer.
public enum TokenizationError: DescribedError, Equatable {
  /// A folder has no tokenizer model.
  case missingFile(URL)
  /// A folder has none of the files that the tokenizer could be read from.
  case missingFiles(folder: URL, family: String, expected: [String])
  /// No tokenizer is known for this kind of model.
  case unknownFamily(modelType: String, folder: URL, known: [String])
  /// A file exists but cannot be read.
  case unreadable(URL, reason: String)
  /// `spiece.model` is no SentencePiece model, or one that cannot work as T5's vocabulary.
  case corruptModel(URL, reason: String)
  /// A vocabulary or its merges contradict themselves or lack what the model needs.
  case corruptVocabulary(URL, reason: String)
  /// A JSON file of the tokenizer cannot be understood.
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
      "reading the tokenizer: \(url.path) does not exist; copy the \(url.lastPathComponent) of the base model there, "
        + "or name the folder that has it"
    case .missingFiles(let folder, let family, let expected):
      "reading the tokenizer of \(family): \(folder.path) has neither \(expected.joined(separator: " nor ")); "
        + "copy the files of the base model there, or name the folder that has them"
    case .unknownFamily(let modelType, let folder, let known):
      "reading the tokenizer in \(folder.path): there is none for model_type \"\(modelType)\"; "
        + "known are \(known.joined(separator: ", "))"
    case .unreadable(let url, let reason):
      "reading the tokenizer: cannot read \(url.path): \(reason)"
    case .corruptModel(let url, let reason):
      "reading the tokenizer: \(url.path) is not a usable SentencePiece model: \(reason); "
        + "fetch the file again"
    case .corruptVocabulary(let url, let reason):
      "reading the tokenizer: \(url.path) is not usable: \(reason); fetch the files of the base model again"
    case .badConfiguration(let url, let reason):
      "reading the tokenizer: \(url.path): \(reason)"
    case .vocabularyMismatch(let url, let ids, let rows):
      "the tokenizer \(url.path) has \(ids) ids, but the model's embedding has \(rows) rows: "
        + "this \(url.lastPathComponent) belongs to another vocabulary; use the one that came with the model"
    case .library(let doing, let reason):
      "\(doing): the SentencePiece library failed: \(reason)"
    case .untrainable(let pieces, let reason):
      "training a vocabulary of \(pieces) pieces: \(reason)"
    }
  }
}
