import Diagnostics

/// What can be wrong with an optimizer's options, or with its state in a checkpoint.
public enum OptimizerError: DescribedError, Equatable {
  case badOption(name: String, expected: String, found: String)
  case missingState(name: String)
  case unknownState(name: String, expected: [String])
  case wrongShape(name: String, expected: [Int], found: [Int])
  case unknownSchedule(name: String)

  public var description: String {
    let wayOut = "resume with the options of the first run, or start in a new output folder"
    return switch self {
    case .badOption(let name, let expected, let found):
      "optimizer option \(name): expected \(expected), found \(found); change the option"
    case .missingState(let name):
      "restoring the optimizer: the checkpoint has no tensor '\(name)'; it was written with another optimizer "
        + "or method: \(wayOut)"
    case .unknownState(let name, let expected):
      "restoring the optimizer: the checkpoint has a tensor '\(name)', expected only "
        + "[\(expected.joined(separator: ", "))]; it was written with another optimizer or method: \(wayOut)"
    case .wrongShape(let name, let expected, let found):
      "restoring the optimizer: tensor '\(name)' has shape \(found), expected \(expected); the adaptation has "
        + "changed in size: \(wayOut)"
    case .unknownSchedule(let name):
      "learning-rate schedule '\(name)' is not known; choose one of \(Schedule.names.joined(separator: ", "))"
    }
  }
}
