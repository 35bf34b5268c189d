import Foundation
import Synchronization
import TensorCore

/// The states of frozen layers of many examples, in memory that all ranks of a node share.
///
/// Each example of the plan has a slot and a flag. Whoever wants an example first claims it, computes it and marks it
/// ready; others wait for that, or read. Ready states are never written again.
///
/// Safety of `@unchecked Sendable`: a slot is written by the one that claimed its flag, and read by others only after the
/// flag says ready (release and acquire).
public final class ActivationCache: @unchecked Sendable {
  let plan: ActivationCachePlan
  /// By rank of the job: whether it shares this memory.
  let isOnNode: [Bool]
  private let memory: SharedMemory
  private let reads = Atomic<Int>(0)
  private let computations = Atomic<Int>(0)

  private enum Flag {
    static let empty: UInt32 = 0
    static let claimed: UInt32 = 1
    static let ready: UInt32 = 2
  }

  /// - Parameter memory: of `plan.byteCount` bytes, zero where nobody has used it yet.
  init(_ plan: ActivationCachePlan, memory: SharedMemory, isOnNode: [Bool]) {
    precondition(memory.byteCount >= plan.byteCount, "\(memory.byteCount) bytes for \(plan.byteCount) of states")
    self.plan = plan
    self.memory = memory
    self.isOnNode = isOnNode
  }

  public var byteCount: Int { plan.byteCount }
  /// Examples that have a slot.
  public var exampleCount: Int { plan.exampleCount }
  /// Uses of kept states on this rank so far that nothing had to be computed for.
  public var hitCount: Int { reads.load(ordering: .relaxed) - computations.load(ordering: .relaxed) }
  /// Examples this rank computed the states of.
  public var missCount: Int { computations.load(ordering: .relaxed) }

  /// Whether `example` has a slot that nobody has filled or begun to fill.
  func lacks(_ example: Int) -> Bool {
    plan.slot(of: example).map { flag($0.number).pointee.load(ordering: .relaxed) == Flag.empty } ?? false
  }

  /// Puts the states of `example` into its slot, unless they are there or somebody is at it.
  func fill(_ example: Int, compute: () -> Tensor) {
    guard let slot = plan.slot(of: example) else { return }
    let flag = flag(slot.number)
    let claim = flag.pointee.compareExchange(expected: Flag.empty, desired: Flag.claimed, ordering: .acquiring)
    guard claim.exchanged else { return }
    let states = compute()
    precondition(states.count == slot.valueCount, "\(states.shape) states for a slot of \(slot.valueCount)")
    plan.precision.write(states, to: memory.base + slot.offset)
    flag.pointee.store(Flag.ready, ordering: .releasing)
    computations.wrappingAdd(1, ordering: .relaxed)
  }

  /// Reads the states of `example`, computed first if need be.
  ///
  /// - Returns: false if it has no slot.
  func read(_ example: Int, into states: Tensor, compute: () -> Tensor) -> Bool {
    guard let slot = plan.slot(of: example) else {
      reads.wrappingAdd(1, ordering: .relaxed)
      computations.wrappingAdd(1, ordering: .relaxed)
      return false
    }
    precondition(states.count == slot.valueCount, "states \(states.shape) of a slot of \(slot.valueCount)")
    fill(example, compute: compute)
    let flag = flag(slot.number)
    while flag.pointee.load(ordering: .acquiring) != Flag.ready { usleep(50) }
    plan.precision.read(memory.base + slot.offset, into: states)
    reads.wrappingAdd(1, ordering: .relaxed)
    return true
  }

  private func flag(_ number: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
    memory.base.assumingMemoryBound(to: Atomic<UInt32>.self) + number
  }
}

/// Where the states of which examples lie: flags first, then the states in data-set order, as many as fit.
struct ActivationCachePlan: Sendable {
  /// Of a slot.
  struct Slot {
    let number: Int
    /// In bytes from the start of the memory.
    let offset: Int
    let valueCount: Int
  }

  let precision: StatePrecision
  let width: Int
  let exampleCount: Int
  let byteCount: Int
  /// By index in the data set: number of the slot, -1 for none.
  private let numbers: [Int32]
  /// By slot: first row; one more at the end.
  private let starts: [Int]

  private static let page = 4096

  /// - Parameters:
  ///   - examples: index in the data set and number of rows of each, in data-set order.
  ///   - width: values of a row.
  ///   - limit: most bytes.
  init(examples: [(index: Int, rows: Int)], width: Int, precision: StatePrecision, limit: Int = .max) {
    self.precision = precision
    self.width = width
    let rowBytes = width * precision.bytesPerValue
    func bytes(_ count: Int, _ rows: Int) -> Int { Self.flagBytes(count) + rows * rowBytes }
    var starts = [0]
    var numbers = [Int32](repeating: -1, count: (examples.map(\.index).max() ?? -1) + 1)
    for (index, rows) in examples {
      let number = starts.count - 1
      guard bytes(number + 1, starts[number] + rows) <= limit else { break }
      numbers[index] = Int32(number)
      starts.append(starts[number] + rows)
    }
    self.starts = starts
    self.numbers = numbers
    exampleCount = starts.count - 1
    byteCount = exampleCount == 0 ? 0 : bytes(exampleCount, starts[exampleCount])
  }

  private static func flagBytes(_ count: Int) -> Int { (4 * count + page - 1) / page * page }

  func slot(of example: Int) -> Slot? {
    guard numbers.indices.contains(example), numbers[example] >= 0 else { return nil }
    let number = Int(numbers[example])
    let (start, end) = (starts[number], starts[number + 1])
    return Slot(
      number: number, offset: Self.flagBytes(exampleCount) + start * width * precision.bytesPerValue,
      valueCount: (end - start) * width)
  }
}
