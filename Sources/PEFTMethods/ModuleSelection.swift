import Checkpoints
import Foundation
import NN

/// Which projections of a model a method adapts, in HF PEFT's language (`tuners_utils.check_target_module_exists`).
public enum ModuleSelection: Sendable, Equatable {
  /// Module paths equal to an entry, or ending in "." and an entry.
  case names([String])
  /// Module paths the regular expression matches from end to end.
  case expression(String)
  /// Every projection but the output head.
  case allLinear

  /// The form of the command line and of `target_modules` strings: `q,v`, `all-linear`, or a regular expression.
  public init(text: String) {
    if text == "all-linear" {
      self = .allLinear
    } else if text.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "," || $0 == " " || $0 == "." }) {
      self = .names(text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) })
    } else {
      self = .expression(text)
    }
  }

  public init(_ json: JSON, config: JSONObject, key: String = "target_modules") throws {
    switch json {
    case .string("all-linear"): self = .allLinear
    case .string(let pattern): self = .expression(pattern)
    case .array: self = .names(try config.strings(key))
    default: throw config.error(key, expected: "a list of names or a regular expression")
    }
  }

  var json: JSON {
    switch self {
    case .names(let names): .array(names.map { .string($0) })
    case .expression(let pattern): .string(pattern)
    case .allLinear: "all-linear"
    }
  }

  var text: String {
    switch self {
    case .names(let names): names.joined(separator: ",")
    case .expression(let pattern): pattern
    case .allLinear: "all-linear"
    }
  }

  func matcher(_ model: ModelDescription, option: String) throws -> (String) throws -> Bool {
    switch self {
    case .names(let names):
      return { path in names.contains { path == $0 || path.hasSuffix("." + $0) } }
    case .expression(let pattern):
      return try PythonExpression(pattern, option: option).matches
    case .allLinear:
      let paths = Set(model.linears.map(\.path)).subtracting(model.outputHeadPaths)
      return { paths.contains($0) }
    }
  }

  /// The matching projections of `model` in model order, without those inside `excluded` modules.
  ///
  /// Throws: nothing matches; an entry names a module that is no projection; the expression is none.
  func linears(of model: any LanguageModel, option: String, excluding excluded: (String) throws -> Bool) throws
    -> [Linear]
  {
    let matches = try matcher(model.description, option: option)
    let linears = model.description.linears
    let paths = Set(linears.map(\.path))
    for parameter in model.parameters {
      let module = parameter.modulePath
      if try !paths.contains(module) && !excluded(module) && matches(module) {
        throw MethodError.notLinear(option: option, module: module)
      }
    }
    let found = try linears.filter { try matches($0.path) && !excluded($0.path) }
    guard !found.isEmpty else {
      let endings = Set(linears.compactMap { $0.path.split(separator: ".").last.map(String.init) })
      throw MethodError.nothingMatches(option: option, value: text, known: endings.sorted())
    }
    return found
  }
}

extension Parameter {
  /// The module that owns the parameter: its name without the last component.
  var modulePath: String { name.split(separator: ".").dropLast().joined(separator: ".") }
}
