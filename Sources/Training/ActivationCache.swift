import Foundation
import Synchronization
import TensorCore

/// The states of frozen layers, in memory that all ranks of a node share: of many examples for the whole run, and of the
/// others in a batch for one step.
///
/// An example has a slot and a flag. Whoever wants it first claims it, computes it and marks it ready; others wait for that,
/// or read. States kept for the run are never written again; those of a step are overwritten in the next one, when no rank
/// works on that step's leaves any more.
///
/// Safety of `@unchecked Sendable`: a slot is written by the one that claimed its flag, and read by others only after the
/// flag says ready (release and acquire). The slots of a step are laid out while no worker runs.
public final class ActivationCache: @unchecked Sendable {
  let plan: ActivationCachePlan
  /// By rank of the job: whether it shares this memory.
  let isOnNode: [Bool]
  private let memory: SharedMemory
  private let reads = Atomic<Int>(0)
  private let computations = Atomic<Int>(0)

  /// Counts the steps, on all ranks alike; states kept for the run are those of round 0.
  private var round: UInt32 = 0
  /// Slots of the present step, for examples that have none of their own.
  private var passing: [Int: ActivationCachePlan.Slot] = [:]

  /// - Parameter memory: of `plan.byteCount` bytes, zero where nobody has used it yet.
  init(_ plan: ActivationCachePlan, memory: SharedMemory, isOnNode: [Bool]) {
    precondition(memory.byteCount >= plan.byteCount, "\(memory.byteCount) bytes for \(plan.byteCount) of states")
    self.plan = plan
    self.memory = memory
    self.isOnNode = isOnNode
  }

  /// Room of the states that are kept for the run.
  public var byteCount: Int { plan.keptByteCount }
  /// Examples whose states are kept for the run.
  public var exampleCount: Int { plan.exampleCount }
  /// Uses of kept states on this rank so far that nothing had to be computed for.
  public var hitCount: Int { reads.load(ordering: .relaxed) - computations.load(ordering: .relaxed) }
  /// Examples this rank computed the states of.
  public var missCount: Int { computations.load(ordering: .relaxed) }

  /// Lays out the slots of a step. Every rank of the node must call it with the same batch, once a step.
  func beginStep(_ batch: [(example: Int, rows: Int)]) {
    round += 1
    passing = plan.passingSlots(batch, round: round)
  }

  private func slot(of example: Int) -> ActivationCachePlan.Slot? { plan.slot(of: example) ?? passing[example] }

  /// Whether `example` has a slot that nobody has filled or begun to fill.
  func lacks(_ example: Int) -> Bool {
    slot(of: example).map { flag($0.number).pointee.load(ordering: .relaxed) < $0.claimed } ?? false
  }

  /// Puts the states of `example` into its slot, unless they are there or somebody is at it.
  func fill(_ example: Int, compute: () -> Tensor) {
    guard let slot = slot(of: example) else { return }
    let flag = flag(slot.number)
    let found = flag.pointee.load(ordering: .relaxed)
    guard found < slot.claimed,
      flag.pointee.compareExchange(expected: found, desired: slot.claimed, ordering: .acquiring).exchanged
    else { return }
    let states = compute()
    precondition(states.count == slot.valueCount, "\(states.shape) states for a slot of \(slot.valueCount)")
    plan.precision.write(states, to: memory.base + slot.offset)
    flag.pointee.store(slot.ready, ordering: .releasing)
    computations.wrappingAdd(1, ordering: .relaxed)
  }

  /// Reads the states of `example`, computed first if need be.
  ///
  /// - Returns: false if it has no slot.
  func read(_ example: Int, into states: Tensor, compute: () -> Tensor) -> Bool {
    guard let slot = slot(of: example) else {
      reads.wrappingAdd(1, ordering: .relaxed)
      computations.wrappingAdd(1, ordering: .relaxed)
      return false
    }
    precondition(states.count == slot.valueCount, "states \(states.shape) of a slot of \(slot.valueCount)")
    fill(example, compute: compute)
    let flag = flag(slot.number)
    while flag.pointee.load(ordering: .acquiring) != slot.ready { usleep(50) }
    plan.precision.read(memory.base + slot.offset, into: states)
    reads.wrappingAdd(1, ordering: .relaxed)
    return true
  }

  private func flag(_ number: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
    memory.base.assumingMemoryBound(to: Atomic<UInt32>.self) + number
  }
}
