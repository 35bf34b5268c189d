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
    case malformed(path: String, reason: String)
    case severalFiles

    var description: String {
      switch self {
      case .malformed(let path, let reason): "configuration \(path): \(reason)"
      case .severalFiles: "--config is there twice: put the settings into one file, or type those that differ"
      }
    }
  }

  /// The command of these arguments, with all flags at their defaults, if it takes a file.
  static func command(of arguments: [String]) -> (any ParsableCommand)? {
    let commands: [any ParsableCommand.Type] = [TrainCommand.self, CompareCommand.self, SweepCommand.self]
    return commands.first { $0.configuration.commandName == arguments.first }.map { $0.init() }
  }

  /// The file that `train --config FILE` names; nil without one.
  static func path(in arguments: [String]) -> String? {
    guard command(of: arguments) != nil, let position = position(in: arguments) else {
      return nil
    }
    guard arguments[position] == "--config" else { return String(arguments[position].dropFirst("--config=".count)) }
    return position + 1 < arguments.count ? arguments[position + 1] : nil
  }

  private static func position(in arguments: [String]) -> Int? {
    arguments.firstIndex { $0 == "--config" || $0.hasPrefix("--config=") }
  }

  /// `arguments` with `--config FILE` replaced by the flags the file stands for.
  static func expanded(_ arguments: [String]) throws -> [String] {
    guard let path = path(in: arguments), let position = position(in: arguments) else { return arguments }
    var rest = arguments
    rest.removeSubrange(position...(arguments[position] == "--config" ? position + 1 : position))
    guard Self.position(in: rest) == nil else { throw Failure.severalFiles }
    // After the word of the subcommand, before everything typed.
    rest.insert(contentsOf: try flags(path: path, of: command(of: arguments) ?? TrainCommand()), at: 1)
    return rest
  }

  /// The flags a file stands for.
  ///
  /// - Throws: `TextFile.Failure`; `Failure` if it is no YAML mapping, has an unknown key or a value of another kind.
  static func flags(path: String, of command: any ParsableCommand = TrainCommand()) throws -> [String] {
    let text = try TextFile.read(path, as: "configuration")
    let node: Node?
    do { node = try Yams.compose(yaml: text) } catch {
      throw Failure.malformed(path: path, reason: "\(error)")
    }
    guard let node else { return [] }
    guard let mapping = node.mapping else {
      throw Failure.malformed(path: path, reason: "expected one `name: value` a line, found something else")
    }
    let known = KnownFlags(command)
    let name = type(of: command).configuration.commandName ?? "train"
    var seen: [String: String] = [:]
    return try mapping.flatMap { node, value -> [String] in
      let line = (node.mark?.line).map { "line \($0): " } ?? ""
      guard let key = node.string, let kind = known.kinds[key.replacing("_", with: "-")] else {
        throw Failure.malformed(
          path: path,
          reason: "\(line)'\(node.string ?? "?")' is not the name of a flag; `peft-dist \(name) --help` lists them")
      }
      if let other = seen.updateValue(key, forKey: key.replacing("_", with: "-")) {
        throw Failure.malformed(path: path, reason: "\(line)'\(key)' is there already, as '\(other)'; keep one of them")
      }
      if value.null != nil { return [] }
      let flag = "--" + key.replacing("_", with: "-")
      if kind == .list, let texts = value.sequence?.map(\.string) {
        return texts.compactMap(\.self).map { "\(flag)=\($0)" }
      }
      switch (kind, value.bool, Self.scalar(value)) {
      case (.flag, true?, _): return [flag]
      case (.flag, false?, _): return []
      case (.invertible, true?, _): return [flag]
      case (.invertible, false?, _): return ["--no-" + flag.dropFirst(2)]
      case (.value, _, let text?), (.list, _, let text?): return ["\(flag)=\(text)"]
      default:
        throw Failure.malformed(
          path: path,
          reason:
            "\(line)\(key): expected \(kind == .flag || kind == .invertible ? "true or false" : "a value or a list of values")"
        )
      }
    }
  }

  /// A scalar as it stands; a list as `a,b`; a mapping as `a=1,b=2`.
  private static func scalar(_ node: Node) -> String? {
    if let list = node.sequence {
      let texts = list.compactMap(\.string)
      return texts.count == list.count ? texts.joined(separator: ",") : nil
    }
    if let pairs = node.mapping {
      let texts = pairs.compactMap { key, value in
        key.string.flatMap { key in value.string.map { "\(key)=\($0)" } }
      }
      return texts.count == pairs.count ? texts.joined(separator: ",") : nil
    }
    return node.string
  }
}

/// The flags of a command as its declaration has them, option groups included.
private struct KnownFlags {
  enum Kind {
    /// Present or not: `--lowercase`.
    case flag
    /// `--do-sample`, `--no-do-sample`, or neither.
    case invertible
    case value
    /// May be given several times: `--stop`.
    case list
  }

  /// By name, such as `learning-rate`.
  private(set) var kinds: [String: Kind] = [:]

  init(_ command: any ParsableCommand) {
    add(Mirror(reflecting: command))
    kinds["config"] = nil
  }

  private mutating func add(_ members: Mirror) {
    for (label, value) in members.children {
      if let group = value as? any FlagGroup {
        add(group.members)
      } else if let label, label.hasPrefix("_") {
        kinds[Self.flagName(label.dropFirst())] =
          value is Flag<Bool>
          ? .flag : value is Flag<Bool?> ? .invertible : value is Option<[String]> ? .list : .value
      }
    }
  }

  /// `learningRate` as `learning-rate`.
  private static func flagName(_ property: Substring) -> String {
    property.map { $0.isUppercase ? "-\($0.lowercased())" : "\($0)" }.joined()
  }
}

/// What `KnownFlags` needs of any `OptionGroup`.
private protocol FlagGroup {
  var members: Mirror { get }
}

extension OptionGroup: FlagGroup {
  fileprivate var members: Mirror { Mirror(reflecting: Value()) }
}
