import Checkpoints
import Foundation
import NN

/// `digests.jsonl` of a run: what two runs are compared by, step by step and tensor by tensor.
///
/// The first line names the tensors; every further one holds a step, the bits of its loss, and eight hexadecimal digits
/// for each tensor after the update.
public struct DigestLog: Sendable, Equatable {
  public static let fileName = "digests.jsonl"

  public struct Step: Sendable, Equatable {
    public let step: Int
    /// The loss as its 64 bits in hexadecimal.
    public let loss: String
    /// Upper 32 bits of each tensor's digest.
    public let tensors: [String]
  }

  public let tensorNames: [String]
  public let steps: [Step]

  /// - Throws: `CheckpointError` if the file cannot be read or is not such a log.
  public init(runFolder: URL) throws {
    let url = runFolder.appendingPathComponent(Self.fileName)
    let lines = try LineFile(url).lines
    guard let first = lines.first else {
      throw CheckpointError.missing(
        path: url.path, purpose: "it records the digests of each step", remedy: "name the output folder of a run")
    }
    var names: [String] = []
    var steps: [Step] = []
    for line in lines {
      let origin = "\(url.path), line \(line.number)"
      guard case .object(let members) = try JSON.decode(line.bytes, origin: origin) else { continue }
      let object = JSONObject(members, origin: origin)
      if line.number == first.number {
        names = try object.strings("tensors")
        continue
      }
      let digits = Array(try object.string("parameters"))
      guard digits.count == 8 * names.count else {
        throw object.error("parameters", expected: "8 digits for each of \(names.count) tensors")
      }
      steps.append(
        Step(
          step: try object.int("step"), loss: try object.string("loss"),
          tensors: stride(from: 0, to: digits.count, by: 8).map { String(digits[$0..<$0 + 8]) }))
    }
    tensorNames = names
    self.steps = steps
  }

  static func headerLine(_ parameters: [Parameter]) -> String {
    JSON.object(["tensors": .array(parameters.map { .string($0.name) })]).encoded(.compact)
  }

  static func line(step: Int, loss: Double, digests: [UInt64]) -> String {
    JSON.object([
      "step": .integer(step), "loss": .string(lossText(loss)),
      "parameters": .string(digests.map(tensorText).joined()),
    ]).encoded(.compact)
  }

  public static func lossText(_ loss: Double) -> String { hexadecimal(loss.bitPattern, digits: 16) }
  public static func tensorText(_ digest: UInt64) -> String { hexadecimal(digest >> 32, digits: 8) }

  private static func hexadecimal(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  /// Where two runs part: the first step both have recorded and in which they differ.
  public enum Difference: Sendable, Equatable {
    case tensors
    case none(commonSteps: Int)
    /// `tensors`: those that differ after the step; empty if only the loss does.
    case step(Int, lossDiffers: Bool, tensors: [String])
  }

  public func difference(from other: DigestLog) -> Difference {
    guard tensorNames == other.tensorNames else { return .tensors }
    let others = Dictionary(other.steps.map { ($0.step, $0) }, uniquingKeysWith: { $1 })
    var common = 0
    for own in steps {
      guard let theirs = others[own.step] else { continue }
      common += 1
      if own == theirs { continue }
      let names = zip(tensorNames, zip(own.tensors, theirs.tensors)).filter { $1.0 != $1.1 }.map { $0.0 }
      return .step(own.step, lossDiffers: own.loss != theirs.loss, tensors: names)
    }
    return .none(commonSteps: common)
  }
}
