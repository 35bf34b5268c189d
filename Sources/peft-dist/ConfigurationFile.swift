import ArgumentParser
import Diagnostics
import Foundation
import Yams

/// `--config run.yaml`: a file of flags.
///
/// A key is a flag's name (`learning_rate` or `learning-rate`), so the file can say what the command line can, in the
/// same words and with the same checks. Its flags come before those typed: of two values the later one counts.
enum ConfigurationFile {
  enum Failure: DescribedError {
    case unreadable(path: String, reason: String)
    case malformed(path: String, reason: String)

    var description: String {
      switch self {
      case .unreadable(let path, let reason): "cannot read configuration \(path): \(reason)"
      case .malformed(let path, let reason): "configuration \(path): \(reason)"
      }
    }
  }

  /// `arguments` with `--config FILE` replaced by the flags the file stands for.
  static func expanded(_ arguments: [String]) throws -> [String] {
    guard let position = arguments.firstIndex(where: { $0 == "--config" || $0.hasPrefix("--config=") }) else {
      return arguments
    }
    var rest = arguments
    let path: String
    if arguments[position] == "--config" {
      guard position + 1 < arguments.count else {
        throw ValidationError("--config needs the path of a YAML file")
      }
      path = arguments[position + 1]
      rest.removeSubrange(position...position + 1)
    } else {
      path = String(arguments[position].dropFirst("--config=".count))
      rest.remove(at: position)
    }
    // After the words of the subcommand, before everything typed.
    let start = rest.firstIndex { $0.hasPrefix("-") } ?? rest.endIndex
    rest.insert(contentsOf: try flags(path: path), at: start)
    return rest
  }

  static func flags(path: String) throws -> [String] {
    let text: String
    do { text = try String(contentsOfFile: path, encoding: .utf8) } catch {
      throw Failure.unreadable(path: path, reason: error.localizedDescription)
    }
    let node: Node?
    do { node = try Yams.compose(yaml: text) } catch { throw Failure.malformed(path: path, reason: "\(error)") }
    guard let node else { return [] }
    guard let mapping = node.mapping else {
      throw Failure.malformed(path: path, reason: "expected one `name: value` a line, found something else")
    }
    return try mapping.flatMap { key, value -> [String] in
      guard let name = key.string else { throw Failure.malformed(path: path, reason: "a key is no text") }
      let flag = "--" + name.replacing("_", with: "-")
      if let list = value.sequence {
        return [flag, list.compactMap(\.string).joined(separator: ",")]
      }
      if let pairs = value.mapping {
        return [flag, pairs.compactMap { key, value in
          key.string.flatMap { key in value.string.map { "\(key)=\($0)" } }
        }.joined(separator: ",")]
      }
      switch (value.null != nil, value.bool, value.string) {
      case (true, _, _): return []
      case (_, true?, _): return [flag]
      case (_, false?, _): return []
      case (_, _, let text?): return ["\(flag)=\(text)"]
      default: throw Failure.malformed(path: path, reason: "\(name): expected a value or a list")
      }
    }
  }
}
