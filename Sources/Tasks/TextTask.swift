import Foundation

/// Which part of a task's data.
public enum DataSplit: String, Sendable, CaseIterable {
  case train, validation, test
}

/// What is done to a text before it is tokenised.
public struct TextOptions: Sendable, Equatable {
  public var lowercase: Bool
  /// Replaces every `<br />` by a space.
  public var stripHTML: Bool

  public init(lowercase: Bool = false, stripHTML: Bool = false) {
    self.lowercase = lowercase
    self.stripHTML = stripHTML
  }

  func apply(_ text: String) -> String {
    let plain = stripHTML ? Self.replacingLineBreaks(text) : text
    return lowercase ? plain.lowercased() : plain
  }

  private static func replacingLineBreaks(_ text: String) -> String {
    let tag = Array("<br />".utf8)
    var text = text
    return text.withUTF8 { bytes in
      var output: [UInt8] = []
      output.reserveCapacity(bytes.count)
      var position = 0
      while position < bytes.count {
        let isTag =
          bytes[position] == tag[0] && position + tag.count <= bytes.count
          && tag.indices.allSatisfy { bytes[position + $0] == tag[$0] }
        output.append(isTag ? UInt8(ascii: " ") : bytes[position])
        position += isTag ? tag.count : 1
      }
      return String(decoding: output, as: UTF8.self)
    }
  }
}

/// A task: where its data lies, and how a row of it becomes source and target text.
public protocol TextTask: Sendable {
  /// Name on the command line.
  var name: String { get }
  /// The words a model answers with, by label number; empty for free text.
  var labels: [String] { get }
  /// The metric by which the best adapter is chosen.
  var metric: TaskMetric { get }
  var options: TextOptions { get }
  /// File or folder that holds a part of the data, nil if the directory has none of it.
  func location(of split: DataSplit, in directory: URL) -> URL?
  /// All examples of a file or folder, in a fixed order.
  ///
  /// - Throws: `DataError`, naming file and line.
  func examples(at location: URL) throws -> [Example]
}

/// A metric and which end of it is good.
public struct TaskMetric: Sendable, Equatable {
  /// Name in `metrics.jsonl`, after `eval_`.
  public let name: String
  public let largerIsBetter: Bool

  public static let accuracy = TaskMetric(name: "accuracy", largerIsBetter: true)
  public static let loss = TaskMetric(name: "loss", largerIsBetter: false)
}

extension TextTask {
  public var metricName: String { metric.name }

  /// The location of a part of the data.
  ///
  /// - Throws: `DataError.missing` if the directory has none of it.
  public func requiredLocation(of split: DataSplit, in directory: URL) throws -> URL {
    guard DataFolder.exists(directory) else {
      throw DataError.missing(directory, expected: "the data directory does not exist; see --data-dir")
    }
    if let url = location(of: split, in: directory) { return url }
    throw DataError.missing(
      directory,
      expected: "there is no \(split.rawValue) data of task \(name) here; expected \(split.rawValue).jsonl"
        + ", or name the file itself")
  }
}

/// The tasks there are.
public enum TaskCatalogue {
  private static let makers: [(name: String, make: @Sendable (TextOptions) -> any TextTask)] = [
    ("imdb", { IMDbTask(options: $0) }),
    ("text", { TextToTextTask(options: $0) }),
  ]

  public static var names: [String] { makers.map(\.name) }

  /// - Throws: `DataError.unknownTask`.
  public static func task(named name: String, options: TextOptions = TextOptions()) throws -> any TextTask {
    guard let maker = makers.first(where: { $0.name == name }) else {
      throw DataError.unknownTask(name, known: names)
    }
    return maker.make(options)
  }
}
