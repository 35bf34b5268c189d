import Diagnostics
import Foundation

/// What can be wrong with the data of a task.
public enum DataError: DescribedError, Equatable {
  case unknownTask(String, known: [String])
  case missing(URL, expected: String)
  case unreadable(URL, reason: String)
  case noExamples(URL)
  /// `line` counts from 1.
  case invalidUTF8(URL, line: Int)
  case malformedLine(URL, line: Int, reason: String)
  case missingColumn(URL, line: Int, column: String)
  case wrongType(URL, line: Int, column: String, expected: String)
  case unknownLabel(URL, line: Int, found: String, known: String)
  case notText(URL, reason: String)

  public var description: String {
    switch self {
    case .unknownTask(let name, let known):
      "there is no task \"\(name)\"; known tasks: \(known.joined(separator: ", "))"
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
    case .missingColumn(let url, let line, let column):
      "reading data: \(url.path):\(line): the object has no \"\(column)\", which this task needs on every line"
    case .wrongType(let url, let line, let column, let expected):
      "reading data: \(url.path):\(line): \"\(column)\" is not \(expected)"
    case .unknownLabel(let url, let line, let found, let known):
      "reading data: \(url.path):\(line): unknown label \(found); this task knows \(known)"
    case .notText(let url, let reason):
      "reading data: \(url.path): \(reason)"
    }
  }
}
