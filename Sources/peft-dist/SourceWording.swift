import Diagnostics
import Foundation
import NN
import Tasks
import Tokenization

/// Makes of a user's texts what the training of an adapter or model made of those in its data.
final class SourceWording {
  let settings: TaskSettings
  private let task: any TextTask
  /// Texts that were cut.
  private(set) var cutCount = 0

  struct WrongTexts: DescribedError, Equatable {
    let place: String
    let found: Int
    let columns: [String]
    let task: String
    let separator: String

    var description: String {
      "\(place): task \(task) reads \(columns.count == 1 ? "one text" : "\(columns.count) texts") (\(columns.joined(separator: ", ")))"
        + "\(columns.count == 1 ? "" : ", \(separator)"); found \(found)"
    }
  }

  struct OtherForm: DescribedError, Equatable {
    let origin: String
    var description: String { "\(origin) is that of another kind of model; name the base model that was tuned" }
  }

  init(_ settings: TaskSettings, model: ModelDescription) throws {
    self.settings = settings
    task = try settings.makeTask()
    guard ExampleForm(model.kind) == settings.form else { throw OtherForm(origin: settings.origin) }
  }

  var notice: String {
    "texts as in training (\(settings.origin)): task \(settings.task)"
      + (settings.lowercase ? ", lowercase" : "") + (settings.stripHTML ? ", without <br />" : "")
      + "; --raw leaves them as they are"
  }

  /// Ids of a line as a model that writes reads it.
  func ids(of line: String, index: Int, limit: Int, _ tokenizer: any Tokenizer) throws -> [Int32] {
    let texts =
      settings.columns.count > 1
      ? line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) : [line]
    return try encoded(
      texts, index: index, limit: limit, tokenizer, place: "line \(index + 1)", separator: "with a tab between them"
    ).source
  }

  /// One or two texts as a model reads them.
  ///
  /// - Throws: `WrongTexts` for another number of them than the task has.
  func encoded(
    _ texts: [String], index: Int, limit: Int, _ tokenizer: any Tokenizer, place: String, separator: String
  ) throws -> EncodedExample {
    guard settings.columns.isEmpty || texts.count == settings.columns.count else {
      throw WrongTexts(
        place: place, found: texts.count, columns: settings.columns, task: settings.task, separator: separator)
    }
    let encoding = ExampleEncoding(form: settings.form, source: limit, target: max(settings.maxTargetLength, 1))
    let example = encoding.encode(task.question(texts, index: index), with: tokenizer)
    if example.isSourceCut { cutCount += 1 }
    return example
  }
}
