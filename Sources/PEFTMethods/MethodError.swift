import Checkpoints
import Diagnostics

/// A method that cannot be set up as asked.
public enum MethodError: DescribedError, Equatable {
  case unknownMethod(name: String, known: [String])
  case badOption(option: String, value: String, expected: String)
  case nothingMatches(option: String, value: String, known: [String])
  case notLinear(option: String, module: String)
  case unsupported(path: String, key: String, value: String)
  /// A key of an adapter's configuration does not fit the model or this program.
  case badKey(path: String, key: String, problem: String, base: String?)
  case unfitTensors(path: String, problems: [String])
  case cannotMerge(method: String, reason: String)

  public var description: String {
    switch self {
    case .unknownMethod(let name, let known):
      "unknown method '\(name)'; known methods: \(known.joined(separator: ", "))"
    case .badOption(let option, let value, let expected):
      "\(option) is \(value); expected \(expected)"
    case .nothingMatches(let option, let value, let known):
      "\(option) '\(value)' matches no module of the model; its projections end in: \(known.joined(separator: ", "))"
    case .notLinear(let option, let module):
      "\(option) matches '\(module)', which is no linear projection; name projections only, such as q or v"
    case .unsupported(let path, let key, let value):
      "\(path), key '\(key)': \(value) is not supported by this version"
    case .badKey(let path, let key, let problem, let base):
      "\(path), key '\(key)': \(problem)" + (base.map { " (the adapter was made for the base model '\($0)')" } ?? "")
    case .unfitTensors(let path, let problems):
      "the adapter \(path) does not fit this model:\n  " + problems.joined(separator: "\n  ")
    case .cannotMerge(let method, let reason):
      "\(method) cannot be merged: \(reason)"
    }
  }
}

extension MethodError {
  /// The error of an option that an adapter's file gave, as one of that file and key.
  func ofFile(_ config: JSONObject, base: String?) -> MethodError {
    func file(_ option: String, _ problem: String) -> MethodError {
      .badKey(path: config.origin, key: Self.key(of: option), problem: problem, base: base)
    }
    switch self {
    case .badOption(let option, let value, let expected):
      return file(option, "expected \(expected), found \(value)")
    case .nothingMatches(let option, let value, let known):
      return file(
        option, "'\(value)' matches no module of the model; its modules end in: \(known.joined(separator: ", "))")
    case .notLinear(let option, let module):
      return file(option, "it matches '\(module)', which is no linear projection; this program adapts projections only")
    default: return self
    }
  }

  /// The key of `adapter_config.json` that a flag stands for.
  private static func key(of option: String) -> String {
    let keys = [
      "--lora-r": "r", "--lora-rank-pattern": "rank_pattern", "--lora-alpha-pattern": "alpha_pattern",
      "--lora-init": "init_lora_weights", "--virtual-tokens": "num_virtual_tokens",
      "--encoder-layers": "encoder_num_layers", "--reduction-factor": "config.reduction_factor",
      "--non-linearity": "config.non_linearity",
    ]
    let name = option.hasPrefix("--") ? String(option.dropFirst(2)) : option
    return keys[option] ?? name.replacing("-", with: "_")
  }
}
