import Foundation
import TensorCore

/// The learning rate as a function of the step: what the base rate is multiplied by.
///
/// i is the 0-based step, w the warm-up steps, T all steps, q = (i - w) / max(1, T - w). All but `constant`
/// rise linearly, i / max(1, w), while i < w: the very first step then has rate 0.
///
/// Source: `transformers.optimization`, function by function.
public enum Schedule: Sendable, Codable, Equatable {
  /// 1.
  case constant
  /// 1 after the warm-up.
  case constantWithWarmup(warmupSteps: Int)
  /// max(0, (T - i) / max(1, T - w)).
  case linear(warmupSteps: Int, totalSteps: Int)
  /// max(0, (1 + cos(2 pi cycles q)) / 2); half a cycle falls from 1 to 0.
  case cosine(warmupSteps: Int, totalSteps: Int, cycles: Double = 0.5)
  /// (1 + cos(pi (cycles q mod 1))) / 2, 0 from q = 1 on.
  case cosineWithRestarts(warmupSteps: Int, totalSteps: Int, cycles: Double = 1)
  /// (1 - end) (1 - q)^power + end, `end` from step T on; `end` is a share of the base rate.
  case polynomial(warmupSteps: Int, totalSteps: Int, power: Double = 1, end: Double = 0)
  /// 1 / sqrt((i + s - w) / s), s the time scale: if nil the warm-up steps, or 10,000 without warm-up.
  case inverseSquareRoot(warmupSteps: Int, timeScale: Int? = nil)

  /// What `init(named:)` knows.
  public static let names = [
    "constant", "linear", "cosine", "cosine-with-restarts", "polynomial", "inverse-sqrt",
  ]

  /// A schedule by its name on the command line, its own constants at their defaults.
  ///
  /// - Throws: `OptimizerError.unknownSchedule`.
  public init(named name: String, warmupSteps: Int, totalSteps: Int) throws {
    switch name {
    case "constant": self = warmupSteps == 0 ? .constant : .constantWithWarmup(warmupSteps: warmupSteps)
    case "linear": self = .linear(warmupSteps: warmupSteps, totalSteps: totalSteps)
    case "cosine": self = .cosine(warmupSteps: warmupSteps, totalSteps: totalSteps)
    case "cosine-with-restarts": self = .cosineWithRestarts(warmupSteps: warmupSteps, totalSteps: totalSteps)
    case "polynomial": self = .polynomial(warmupSteps: warmupSteps, totalSteps: totalSteps)
    case "inverse-sqrt": self = .inverseSquareRoot(warmupSteps: warmupSteps)
    default: throw OptimizerError.unknownSchedule(name: name)
    }
  }

  public var warmupSteps: Int {
    switch self {
    case .constant: 0
    case .constantWithWarmup(let steps), .linear(let steps, _), .cosine(let steps, _, _),
      .cosineWithRestarts(let steps, _, _), .polynomial(let steps, _, _, _), .inverseSquareRoot(let steps, _):
      steps
    }
  }

  /// The factor on the base rate at 0-based step `step`.
  public func factor(step: Int) -> Double {
    if step < warmupSteps { return Double(step) / Double(max(1, warmupSteps)) }
    switch self {
    case .constant, .constantWithWarmup:
      return 1
    case .linear(let warmup, let total):
      return max(0, Double(total - step) / Double(max(1, total - warmup)))
    case .cosine(_, let total, let cycles):
      return max(0, 0.5 * (1 + Portable.cosine(turns: cycles * progress(step, total))))
    case .cosineWithRestarts(_, let total, let cycles):
      let progress = progress(step, total)
      return progress >= 1
        ? 0 : max(0, 0.5 * (1 + Portable.cosine(turns: 0.5 * (cycles * progress).truncatingRemainder(dividingBy: 1))))
    case .polynomial(_, let total, let power, let end):
      return step >= total ? end : (1 - end) * Portable.pow(1 - progress(step, total), power) + end
    case .inverseSquareRoot(let warmup, let timeScale):
      let scale = timeScale ?? (warmup > 0 ? warmup : 10_000)
      return 1 / (Double(step + scale - warmup) / Double(scale)).squareRoot()
    }
  }

  /// q: 0 at the end of the warm-up, 1 at step `total`.
  private func progress(_ step: Int, _ total: Int) -> Double {
    Double(step - warmupSteps) / Double(max(1, total - warmupSteps))
  }
}
