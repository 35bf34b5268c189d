import Diagnostics
import Foundation

/// Which part of a task's data.
public enum DataSplit: String, Sendable, CaseIterable {
  case train, validation, test

  /// The option of train that names a file of this part.
  var flag: String {
    switch self {
    case .train: "train-file"
    case .validation: "eval-file"
    case .test: "test-file"
    }
  }

  /// Names under which a file of this part is looked for, the first one found counts.
  var fileNames: [String] {
    let names = self == .validation ? ["validation", "dev"] : [rawValue]
    return names.flatMap { name in DataFormat.allCases.map { "\(name).\($0.rawValue)" } }
  }
}

/// A task: where its data lies, and how a row of it becomes source and target text.
public protocol TextTask: Sendable {
  /// Name on the command line.
  var name: String { get }
  /// The words a model answers with, by label number; empty for free text and for values.
  var labels: [String] { get }
  /// What is reported about the answers.
  var metrics: TaskMetrics { get }
  /// The metric by which the best adapter is chosen, one of `metrics` or the loss.
  var metric: TaskMetric { get }
  /// What kinds of model can do the task.
  var forms: [ExampleForm] { get }
  var options: TextOptions { get }
  /// The task with all that it leaves to the data, such as the names of its labels.
  ///
  /// - Parameter location: the data that is trained on.
  /// - Throws: `DataError`.
  func resolved(with location: URL) throws -> any TextTask
  /// File or folder that holds a part of the data, nil if the directory has none of it.
  func location(of split: DataSplit, in directory: URL) -> URL?
  /// All examples of a file or folder, in a fixed order, their texts in the form of `options`.
  ///
  /// - Throws: `DataError`, naming file and line.
  func examples(at location: URL) throws -> [Example]
  /// Columns of the texts that a model reads, all that there can be.
  var textColumns: [String] { get }
  /// Those of `textColumns` that the data at `location` has.
  ///
  /// - Throws: `DataError`.
  func columns(at location: URL) throws -> [String]
  /// Texts as `examples` words them, one for each column, whose answer is asked for.
  func question(_ texts: [String], index: Int) -> Example
}

extension TextTask {
  public var forms: [ExampleForm] { [.textToText, .continuation, .classification] }
  public func resolved(with location: URL) throws -> any TextTask { self }
  public func columns(at location: URL) throws -> [String] { textColumns }

  public func location(of split: DataSplit, in directory: URL) -> URL? {
    split.fileNames.map { directory.appendingPathComponent($0) }.first(where: DataFolder.exists)
  }

  /// The location of a part of the data.
  ///
  /// - Throws: `DataError.missing` if the directory has none of it.
  public func requiredLocation(of split: DataSplit, in directory: URL) throws -> URL {
    guard DataFolder.exists(directory) else {
      throw DataError.missing(directory, expected: "the data directory does not exist; see --data-dir")
    }
    if let url = location(of: split, in: directory) { return url }
    let names = split.fileNames
    for url in names.map({ directory.appendingPathComponent($0) }) {
      if case .brokenLink(let target) = FilePresence(url) {
        throw DataError.missing(url, expected: "it is a link to \(target), which does not exist")
      }
    }
    let found = ((try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []).sorted().prefix(5)
    throw DataError.missing(
      directory,
      expected: "there is no \(split.rawValue) data of task \(name) here; expected "
        + "\(names.dropLast().joined(separator: ", ")) or \(names[names.count - 1]), or name the file itself (--\(split.flag))"
        + (found.isEmpty ? "; the folder is empty" : "; found are \(found.joined(separator: ", "))"))
  }
}

/// The tasks there are.
public enum TaskCatalogue {
  private static let makers: [(name: String, make: @Sendable (TextOptions) -> any TextTask)] = [
    ("imdb", { IMDbTask(options: $0) }),
    ("sst2", { SST2Task(options: $0) }),
    ("mrpc", { MRPCTask(options: $0) }),
    ("rte", { RTETask(options: $0) }),
    ("pair", { PairTask(options: $0) }),
    ("regression", { RegressionTask(options: $0) }),
    ("cnn_dailymail", { CNNDailyMailTask(options: $0) }),
    ("scitldr", { SciTLDRTask(options: $0) }),
    ("text", { TextToTextTask(options: $0) }),
    ("corpus", { CorpusTask(options: $0) }),
  ]

  public static var names: [String] { makers.map(\.name) }

  /// - Throws: `DataError.unknownTask`; `.unsuitableForm` if the kind of model cannot do the task.
  public static func task(named name: String, options: TextOptions = TextOptions()) throws -> any TextTask {
    guard let maker = makers.first(where: { $0.name == name }) else {
      throw DataError.unknownTask(name, known: names)
    }
    let task = maker.make(options)
    guard task.forms.contains(options.form) else { throw DataError.unsuitableForm(task: name, options.form) }
    return task
  }
}
