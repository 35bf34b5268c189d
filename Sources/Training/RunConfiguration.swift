import Checkpoints
import Diagnostics
import NN

/// Everything that defines a training run, resolved: what `run.yaml` holds and what a resumed run is compared with.
public struct RunConfiguration: Sendable {
  /// One setting under its name in `run.yaml`, which is its flag's name with underscores.
  public struct Setting: Sendable, Equatable {
    public let key: String
    public let value: JSON
    /// Whether another value would lead to other bytes.
    public let altersResult: Bool

    public init(_ key: String, _ value: JSON, altersResult: Bool = true) {
      self.key = key
      self.value = value
      self.altersResult = altersResult
    }
  }

  public var globalBatchSize: Int
  /// Optimizer steps of the whole run.
  public var totalSteps: Int
  public var leafTokens: Int
  public var optimizer: OptimizerConfiguration
  public var learningRate: Double
  public var schedule: Schedule
  /// Clip the global norm to this; nil for no clipping.
  public var maxGradNorm: Double?
  public var dropout: DropoutRates
  public var seed: UInt64
  /// Steps between evaluations; nil for one at the end of each epoch, 0 for never.
  public var evalEvery: Int?
  /// Steps between checkpoints, in the same way.
  public var saveEvery: Int?
  public var keepCheckpoints: Int
  public var logEvery: Int
  /// Most tokens generated for an answer.
  public var maxTargetLength: Int
  /// A step with an infinite or undefined loss or gradient that no smaller loss scale can mend is skipped instead of
  /// ending the run.
  public var skipsNonFiniteSteps = false
  public var lossScaling = LossScaling.unscaled
  /// Resuming is allowed although settings that alter the result have changed.
  public var allowsChangedSettings = false
  /// Whether the parameters are judged before the first step, too.
  public var evaluatesOnStart = false
  /// Resuming is allowed on a machine that computes other bits.
  public var allowsOtherIdentity = false
  /// All settings as the user knows them.
  public var settings: [Setting]

  public init(
    globalBatchSize: Int, totalSteps: Int, leafTokens: Int, optimizer: OptimizerConfiguration, learningRate: Double,
    schedule: Schedule, maxGradNorm: Double?, dropout: DropoutRates, seed: UInt64, evalEvery: Int?, saveEvery: Int?,
    keepCheckpoints: Int, logEvery: Int, maxTargetLength: Int, settings: [Setting]
  ) {
    self.globalBatchSize = globalBatchSize
    self.totalSteps = totalSteps
    self.leafTokens = leafTokens
    self.optimizer = optimizer
    self.learningRate = learningRate
    self.schedule = schedule
    self.maxGradNorm = maxGradNorm
    self.dropout = dropout
    self.seed = seed
    self.evalEvery = evalEvery
    self.saveEvery = saveEvery
    self.keepCheckpoints = keepCheckpoints
    self.logEvery = logEvery
    self.maxTargetLength = maxTargetLength
    self.settings = settings
  }

  /// Whether something that happens every `interval` steps (nil: at the end of each epoch) is due after `step` steps.
  static func isDue(_ interval: Int?, step: Int, stepsPerEpoch: Int, totalSteps: Int) -> Bool {
    if interval == 0 { return false }
    return step % (interval ?? stepsPerEpoch) == 0 || step == totalSteps
  }

  /// Settings that alter the result and differ from those of a checkpoint.
  ///
  /// - Throws: `TrainingError.changedSettings` naming each, with both values.
  func checkSame(as stored: JSONObject) throws {
    let changed = settings.filter(\.altersResult).compactMap { setting -> String? in
      let before = stored.members[setting.key] ?? .null
      guard before != setting.value else { return nil }
      // A longer run is no other run: what has been done stays done.
      if setting.key == "steps", case .integer(let old) = before, totalSteps > old {
        RunLog.notice("the run now has \(totalSteps) steps instead of \(old); its schedule follows from here on")
        return nil
      }
      return "\(setting.key): \(before.summary) in the checkpoint, \(setting.value.summary) now"
    }
    guard !changed.isEmpty else { return }
    guard allowsChangedSettings else { throw TrainingError.changedSettings(changed) }
    RunLog.warning("resuming with other settings, as asked: \(changed.joined(separator: "; "))")
  }
}
