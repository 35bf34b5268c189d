import Diagnostics
import Foundation

/// Faults that tests and the scripts of `Tests/Survival` ask for: `PEFT_DIST_FAULT=KIND:RANK:STEP`, several with commas.
///
/// Kinds: `throw` (an error on that rank), `corrupt` (one bit of a trained tensor flips in that rank's memory), `nan` (a
/// leaf of that rank gives a loss that is no number), `hang` (the rank's main thread never comes back), `slow` (each
/// leaf of the step takes ten seconds longer there). Without the
/// variable nothing is looked at in the loop.
struct FaultInjection: Sendable {
  enum Kind: String, Sendable {
    case `throw`, corrupt, nan, hang, slow
  }

  struct Injected: DescribedError {
    let step: Int
    var description: String { "injected failure at step \(step)" }
  }

  struct Unknown: DescribedError, Equatable {
    let text: String
    var description: String {
      "PEFT_DIST_FAULT has '\(text)'; expected KIND:RANK:STEP with a kind of throw, corrupt, nan, hang or slow"
    }
  }

  private let faults: [(kind: Kind, rank: Int, step: Int)]

  /// - Throws: `Unknown` for what is none of these.
  init(environment: [String: String] = ProcessInfo.processInfo.environment) throws {
    faults = try (environment["PEFT_DIST_FAULT"] ?? "").split(separator: ",").map { text in
      let fields = text.split(separator: ":")
      guard fields.count == 3, let kind = Kind(rawValue: String(fields[0])), let rank = Int(fields[1]),
        let step = Int(fields[2])
      else { throw Unknown(text: String(text)) }
      return (kind, rank, step)
    }
  }

  /// Whether this fault is due on `rank` in the step that will be number `step`.
  func strikes(_ kind: Kind, rank: Int, step: Int) -> Bool {
    !faults.isEmpty && faults.contains { $0.kind == kind && $0.rank == rank && $0.step == step }
  }
}
