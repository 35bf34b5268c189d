import Diagnostics
import Foundation

/// What can go wrong between a disk and the tensors of a program; every message names the file.
public enum CheckpointError: DescribedError, Equatable {
  /// The system refused `action` on `path`.
  case system(action: String, path: String, code: Int32)
  /// `path` is something else than a file of the expected kind.
  case wrongKind(path: String, expected: String, found: String)
  /// A file or folder that must be there is not.
  case missing(path: String, purpose: String, remedy: String)
  /// The bytes of `path` are no JSON document; `line` and `column` count from one.
  case malformedJSON(path: String, line: Int, column: Int, reason: String)
  /// A key of a JSON file is absent or holds a value of another kind.
  case badValue(path: String, key: String, expected: String, found: String)
  /// `path` breaks the safetensors format as a whole.
  case malformedFile(path: String, reason: String)
  /// What is there is no file, or too large for one of its kind.
  case unreadable(path: String, reason: String)
  /// One tensor of `path` breaks the safetensors format or cannot be read as asked.
  case badTensor(path: String, tensor: String, reason: String)
  /// The folder holds a model of another architecture.
  case wrongModelType(path: String, expected: [String], found: String)
  /// The weights do not fit the model; everything that is wrong, at once.
  case unfitWeights(source: String, problems: WeightProblems)
  /// A classifier's head is for another number of labels than the task has.
  case otherHead(path: String, found: Int, names: [String], wanted: [String])
  /// Another process works in the run folder.
  case locked(folder: String, holder: String)
  /// A checkpoint was written by a later version of this program.
  case futureFormat(path: String, found: Int, supported: Int)

  public var description: String {
    switch self {
    case .system(let action, let path, let code):
      "cannot \(action) \(path): \(String(cString: strerror(code))) (errno \(code))"
    case .wrongKind(let path, let expected, let found):
      "cannot use \(path): expected \(expected), found \(found)"
    case .missing(let path, let purpose, let remedy):
      "\(path) is missing: \(purpose); \(remedy)"
    case .malformedJSON(let path, let line, let column, let reason):
      "\(path), line \(line), column \(column): not valid JSON: \(reason)"
    case .badValue(let path, let key, let expected, let found):
      "\(path), key '\(key)': expected \(expected), found \(found)"
    case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
    case .malformedFile(let path, let reason):
      "\(path) is not a usable safetensors file: \(reason); it may be truncated or damaged, copy it again"
    case .badTensor(let path, let tensor, let reason):
      "\(path), tensor '\(tensor)': \(reason)"
    case .wrongModelType(let path, let expected, let found):
      "\(path), key 'model_type': expected \(expected.map { "'\($0)'" }.joined(separator: " or ")), "
        + "found \(found); give the folder of a model of that architecture"
    case .unfitWeights(let source, let problems):
      "the weights of \(source) do not fit the model its config.json describes\n\(problems)"
    case .otherHead(let path, let found, let names, let wanted):
      "the head of \(path) is for \(found) label\(found == 1 ? "" : "s")"
        + (names.count == found ? " (\(names.joined(separator: ", ")))" : "")
        + ", the task has \(wanted.count) (\(wanted.joined(separator: ", "))): --ignore-mismatched-head of train starts a new "
        + "head in its place, as ignore_mismatched_sizes of Hugging Face does"
    case .locked(let folder, let holder):
      "the run folder \(folder) is in use by another process (\(holder)); "
        + "wait for it, stop it, or choose another --output"
    case .futureFormat(let path, let found, let supported):
      "\(path) has format version \(found), this program reads up to \(supported); "
        + "continue the run with the newer program that wrote it"
    }
  }
}
