import Diagnostics
import Foundation

/// What can be wrong with the data of a task.
public enum DataError: DescribedError, Equatable {
  case unknownTask(String, known: [String])
  case unsuitableForm(task: String, ExampleForm)
  /// The labels are neither named nor looked up in the data.
  case unnamedLabels(task: String)
  /// `owner` brings `names`, which are not those of the task.
  case otherLabels(task: String, labels: [String], owner: String, names: [String])
  /// What a model was trained on, and what the data has.
  case otherColumns(URL, trained: [String], found: [String])
  case missing(URL, expected: String)
  case unreadable(URL, reason: String)
  case noExamples(URL)
  /// `line` counts from 1.
  case invalidUTF8(URL, line: Int)
  case malformedLine(URL, line: Int, reason: String)
  /// A row of a table; `reason` says what was expected and found.
  case malformedRow(URL, line: Int, reason: String)
  case missingColumn(URL, line: Int, column: String)
  /// The first row of a table does not name the column.
  case missingHeader(URL, column: String, found: [String])
  /// `found`: the value, where it is short enough to be shown.
  case wrongType(URL, line: Int, column: String, expected: String, found: String? = nil)
  case unknownLabel(URL, line: Int, found: String, known: String)
  /// The row of a test set whose labels are kept secret.
  case unlabelled(URL, line: Int)
  case notText(URL, reason: String)

  public var description: String {
    switch self {
    case .unknownTask(let name, let known):
      "there is no task \"\(name)\"; known tasks: \(known.joined(separator: ", "))"
    case .unsuitableForm(let task, let form):
      "task \(task) cannot be done by \(form.models): its answers are texts to write; take a T5 or GPT-2"
    case .otherLabels(let task, let labels, let owner, let names):
      "the labels of \(owner) are \(names.joined(separator: ", ")), those of task \(task) \(labels.joined(separator: ", ")); "
        + "name the task that it was trained on"
    case .otherColumns(let url, let trained, let found):
      "\(url.path): trained on the columns \(trained.joined(separator: ", ")), found \(found.joined(separator: ", ")); give "
        + "data with the same columns"
    case .unnamedLabels(let task):
      "task \(task) does not know its labels; name them in the order of their numbers: --label-names no,yes"
    case .missing(let url, let expected):
      "reading data: \(url.path): \(expected)"
    case .unreadable(let url, let reason):
      "reading data: cannot read \(url.path): \(reason)"
    case .noExamples(let url):
      "reading data: \(url.path) holds no examples"
    case .invalidUTF8(let url, let line):
      "reading data: \(url.path):\(line): the text is not valid UTF-8; convert the file to UTF-8"
    case .malformedLine(let url, let line, let reason):
      "reading data: \(url.path):\(line): expected one JSON object, found \(reason)"
    case .malformedRow(let url, let line, let reason):
      "reading data: \(url.path):\(line): \(reason)"
    case .missingColumn(let url, let line, let column):
      "reading data: \(url.path):\(line): the object has no \"\(column)\", which this task needs on every line"
        + Self.hint(column)
    case .missingHeader(let url, let column, let found):
      "reading data: \(url.path):1: the first line names no column \"\(column)\", which this task needs; it names "
        + found.map { "\"\($0)\"" }.joined(separator: ", ") + Self.hint(column)
    case .wrongType(let url, let line, let column, let expected, let found):
      "reading data: \(url.path):\(line): \"\(column)\" is not \(expected)" + (found.map { ": found \($0)" } ?? "")
    case .unknownLabel(let url, let line, let found, let known):
      "reading data: \(url.path):\(line): unknown label \(found); this task knows \(known)"
    case .unlabelled(let url, let line):
      "reading data: \(url.path):\(line): label -1 stands for none: the labels of this test set are not published; "
        + "evaluate on validation data"
    case .notText(let url, let reason):
      "reading data: \(url.path): \(reason)"
    }
  }

  /// The test files of GLUE are the usual cause of missing labels.
  private static func hint(_ column: String) -> String {
    column == "label"
      ? "; training and evaluation need the labels (of GLUE's test files, which have none, take the validation data); a column of another name must be renamed"
      : ""
  }
}

extension ExampleForm {
  fileprivate var models: String {
    switch self {
    case .textToText: "an encoder-decoder model"
    case .continuation: "a decoder-only model"
    case .classification: "a classifier"
    }
  }
}
