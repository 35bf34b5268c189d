import Foundation
import Autograd
import CKernels
import Collectives
import NN
import Synchronization
import Tasks
import TensorCore

/// Computes the exact gradient of a global batch: leaves by many hands, one order-independent sum, then the method's
/// parameter-side network once.
@MainActor
public final class GradientEngine {
  public private(set) var evaluator: LeafEvaluator
  public let world: World?
  public let workers: LeafPool
  /// The gradient of each parameter after `compute`.
  public let gradients: [Tensor]
  public let sum: ExactSum
  public let stages = StageClock()
  /// After `compute`: whether any rank has been asked to stop.
  public private(set) var stopRequested = false
  private let dispatch: LeafDispatch
  private let failures = FailedLeaves()
  private let pools: [BufferPool]
  private let sitePool = BufferPool()
  private let siteGradients: [Tensor]
  /// Dropout of the last step.
  private var dropout: DropoutPolicy?

  public enum Outcome: Equatable {
    /// Sum of the token losses over the global batch; `gradients` holds the gradient.
    case done(lossSum: Double)
    /// Loss or gradient of some leaf was infinite or NaN.
    case nonFinite
    /// A signal asked the job to stop: the step was broken off between leaves, nothing has changed.
    case stopped
  }

  /// - Parameter world: nil in programs that run no MPI.
  public init(evaluator: LeafEvaluator, world: World?, workers: LeafPool) {
    self.evaluator = evaluator
    self.world = world
    self.workers = workers
    dispatch = LeafDispatch(world: world, workers: workers)
    pools = (0..<workers.threadCount).map { _ in BufferPool() }
    gradients = evaluator.method.parameters.map { Tensor(zeros: $0.shape) }
    let siteShapes = evaluator.sites(pool: sitePool).map(\.shape)
    siteGradients = siteShapes.map { Tensor(zeros: $0) }
    sum = ExactSum(counts: siteShapes.map { $0.reduce(1, *) }, controlCount: 2)
  }

  /// For a fault that tests ask for.
  var leafDelaySeconds = 0.0

  /// Bytes the workers' buffers hold.
  public var bufferByteCount: Int { pools.reduce(0) { $0 + $1.byteCount } }

  /// The exact gradient of `gradientScale` times the loss sum of all `leaves`.
  ///
  /// Leaves go to whatever rank has a worker free. ``StopRequest`` on any rank breaks the step off on all, unless all
  /// leaves have been handed out already: then it is done, and ``stopRequested`` tells.
  ///
  /// - Parameters:
  ///   - leaves: the leaves of the whole step, the same on every rank.
  ///   - lossScale: the leaves' backward passes are seeded with so many times `gradientScale`, and their sum divided by
  ///     it: exactly where it is a power of two, else with the rounding of one more product.
  ///   - onPoll: called every few milliseconds while workers or messages are under way; what it throws ends the wait.
  public func compute(
    leaves: [LeafBatch], gradientScale: Float, lossScale: Float = 1, dropout: DropoutPolicy?,
    onPoll: () throws -> Void = {}
  ) throws -> Outcome {
    self.dropout = dropout
    MatrixBackend.prepareThread()
    let parameters = evaluator.method.parameters
    let tape = Tape(pool: sitePool)
    let variables = parameters.map { tape.variable($0.value) }
    let siteVariables = evaluator.method.materialise(variables, tape)
    let sites = siteVariables.map(\.value)
    let order = LeafPlanner.order(costs: leaves.map(\.cost))
    try fillCache(for: order.map { leaves[$0] }, sites: sites, onPoll: onPoll)

    let exponents = sum.exponents
    var outcome: ExactSum.Outcome
    repeat {
      sum.begin(leafCount: leaves.count, scaleExponent: Int(lossScale.exponent))
      failures.clear()
      let body: @Sendable (Int, Int) -> Void = { [evaluator, sum, pools, failures, leafDelaySeconds] worker, leaf in
        if leafDelaySeconds > 0 { Thread.sleep(forTimeInterval: leafDelaySeconds) }
        MatrixBackend.prepareThread()
        let result = evaluator.gradients(
          leaves[leaf], sites: sites, gradientScale: lossScale * gradientScale, dropout: dropout, pool: pools[worker])
        let isFinite =
          result.lossSum.isFinite
          && result.gradients.allSatisfy { $0.map { k_all_finite($0.pointer, $0.count) != 0 } ?? true }
        if !isFinite { failures.note(leaves[leaf]) }
        sum.addControl(0, rounding: result.losses)
        sum.add(leaf: result.gradients.map { $0.map { UnsafePointer($0.pointer) } })
      }
      let ending = try stages.measure(.leaves) {
        try dispatch.run(order: order, shouldStop: { StopRequest.isPending }, onPoll: onPoll, body: body)
      }
      guard ending == .complete else {
        stopRequested = true
        // A repeated step has moved the windows already.
        try sum.restore(exponents: exponents)
        return .stopped
      }
      if StopRequest.isPending { sum.addControl(1, 1) }
      outcome = try stages.measure(.reduction) {
        try world.map { try sum.reduce(over: $0, onPoll: onPoll) } ?? sum.reduceAlone()
      }
    } while outcome == .again
    stopRequested = sum.control(1) > 0
    guard outcome == .done else { return .nonFinite }

    for (index, gradient) in siteGradients.enumerated() {
      sum.read(index, into: gradient.pointer)
      if lossScale.significand != 1 { k_scale(gradient.pointer, 1 / lossScale.significand, gradient.count) }
      tape.seed(siteVariables[index], gradient: gradient)
    }
    tape.backward()
    for (variable, gradient) in zip(variables, gradients) {
      if let flowed = variable.gradient { gradient.copyElements(from: flowed) } else { gradient.fill(0) }
    }
    return .done(lossSum: sum.controlDouble(0))
  }
}

extension GradientEngine {
  /// From now on the states of frozen layers are kept.
  public func use(_ cache: ActivationCache) { evaluator.frozen?.cache = cache }

  /// Computes what the cache of this node lacks for the leaves its ranks will get, with all workers of the node: leaves are
  /// made for what is left to do once all is kept, so there may be few of them, each of many examples.
  ///
  /// - Parameter leaves: in the order in which they are handed out.
  private func fillCache(for leaves: [LeafBatch], sites: [Tensor], onPoll: () throws -> Void) throws {
    guard let cache = evaluator.frozen?.cache else { return }
    cache.beginStep(leaves.flatMap { leaf in zip(leaf.examples, leaf.sources).map { (Int($0), $1.count) } })
    guard !StopRequest.isPending else { return }
    let own =
      cache.isOnNode.contains(false)
      ? zip(leaves, try dispatch.firstHands(leafCount: leaves.count)).filter { cache.isOnNode[$1] }.map { $0.0 }
      : leaves
    let lacking = own.flatMap { zip($0.examples, $0.sources) }.filter { cache.lacks(Int($0.0)) }
      .sorted { $0.1.count > $1.1.count }
    guard !lacking.isEmpty else { return }
    try stages.measure(.frozen) {
      workers.run(count: lacking.count) { [evaluator, pools] worker, item in
        MatrixBackend.prepareThread()
        evaluator.fill(example: lacking[item].0, source: lacking[item].1, sites: sites, pool: pools[worker])
      }
      try workers.wait {
        if StopRequest.isPending { workers.abandon() }
        try world?.onPoll()
        try onPoll()
      }
    }
  }

  /// After a non-finite step: the examples of the leaves that were not finite, of all ranks.
  public func nonFiniteLeaves() throws -> [String] {
    let own = failures.text
    return try (world?.gatherAtAll(own) ?? [own]).filter { !$0.isEmpty }
  }

  /// After a non-finite step: where the forward pass of such a leaf first left the finite numbers, found by running it
  /// again; nil if none did.
  public func firstOverflow() throws -> String? {
    MatrixBackend.prepareThread()
    let own = failures.first.flatMap {
      evaluator.firstOverflow($0, sites: evaluator.sites(pool: sitePool), dropout: dropout, pool: pools[0])
    }
    return try (world?.gatherAtAll(own ?? "") ?? [own ?? ""]).first { !$0.isEmpty }
  }
}

/// Leaves whose loss or gradient was not finite, noted by workers.
private final class FailedLeaves: Sendable {
  private let leaves = Mutex<[LeafBatch]>([])

  func note(_ leaf: LeafBatch) { leaves.withLock { $0.append(leaf) } }
  func clear() { leaves.withLock { $0 = [] } }

  /// The leaf of the lowest examples.
  var first: LeafBatch? { sorted.first }

  /// At most three leaves' example numbers.
  var text: String {
    sorted.prefix(3).map { $0.examples.map { "\($0 + 1)" }.joined(separator: ", ") }.joined(separator: "; ")
  }

  private var sorted: [LeafBatch] {
    leaves.withLock { $0.sorted { $0.examples.lexicographicallyPrecedes($1.examples) } }
  }
}

extension LeafBatch {
  /// Work of the leaf in tokens: expensive leaves are handed out first.
  var cost: Int { sourceTokenCount + labels.reduce(0) { $0 + $1.count } }
}
