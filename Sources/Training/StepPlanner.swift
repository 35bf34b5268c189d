import NN
import Tasks

/// The leaves of one optimizer step.
public struct StepPlan: Sendable {
  public let epoch: Int
  public let leaves: [LeafBatch]
  /// Targets of the global batch: what the loss is a mean over.
  public let targetCount: Int
  /// Real source tokens of the global batch, end-of-sequence included.
  public let sourceTokenCount: Int
}

/// Composes the steps of a run: a pure function of seed, step, batch size, example lengths and leaf size.
public struct StepPlanner: Sendable {
  public let dataset: EncodedDataset
  /// Examples to train on, as indices into the data set.
  public let examples: [Int]
  public let globalBatchSize: Int
  public let leafTokens: Int
  /// Virtual tokens in front of every source: part of a leaf's work.
  public let virtualTokenCount: Int
  /// Work of a source token, as a share of that of a target token: less than 1 where layers are frozen.
  public let sourceShare: Double
  /// What makes source and target of plain texts; nil where there are none.
  public let objective: Objective?
  private let seed: UInt64
  private let order: DataOrder

  public init(
    dataset: EncodedDataset, examples: [Int], globalBatchSize: Int, leafTokens: Int, virtualTokenCount: Int,
    sourceShare: Double = 1, objective: Objective? = nil, seed: UInt64
  ) {
    self.objective = objective
    self.seed = seed
    self.dataset = dataset
    self.examples = examples
    self.globalBatchSize = globalBatchSize
    self.leafTokens = leafTokens
    self.virtualTokenCount = virtualTokenCount
    self.sourceShare = sourceShare
    order = DataOrder(count: examples.count, seed: seed)
  }

  public var stepsPerEpoch: Int { order.stepsPerEpoch(globalBatchSize: globalBatchSize) }

  /// - Parameter step: 0-based.
  public func plan(step: Int) -> StepPlan {
    let batch = order.batch(step: step, globalBatchSize: globalBatchSize)
    let members = batch.examples.map { place in
      let example = dataset[examples[place]]
      return objective?.applied(to: example, seed: seed, epoch: batch.epoch) ?? example
    }
    let leaves = LeafPlanner.leaves(
      costs: members.map { member in
        Int((sourceShare * Double(member.source.count)).rounded(.up)) + member.target.count + virtualTokenCount
      }, leafTokens: leafTokens)
    return StepPlan(
      epoch: batch.epoch, leaves: leaves.map { leaf in LeafBatch(leaf.map { members[$0] }) },
      targetCount: members.reduce(0) { $0 + $1.target.count { $0 != ObjectiveExample.ignored } },
      sourceTokenCount: members.reduce(0) { $0 + $1.source.count })
  }
}

extension LeafBatch {
  public init(_ members: [EncodedExample]) {
    self.init(
      sources: members.map(\.source), labels: members.map(\.target), examples: members.map { UInt32($0.index) },
      secondStarts: members.map(\.secondStart))
  }
}
