import CKernels
import Synchronization

/// The sum of leaf gradients over all workers and ranks, with the same bits whoever computed which leaf.
///
/// Entries are rounded to a fixed point per tensor (``GradientWindow`` has the rule and the error bound) and
/// added as 64-bit integers. Integer addition is associative and commutative, so neither the assignment of
/// leaves, nor the timing of threads, nor MPI's algorithm can change the result; a plain `MPI_SUM` does.
/// Control words (non-finite leaves, leaves out of their window, and the caller's own) travel in the same
/// message: 8 bytes per element, per tensor and per control word.
///
/// One step, on every rank:
///
///     repeat {
///       sum.begin(leafCount: leaves of the step over all ranks)
///       ... workers compute their leaves and call sum.add(leaf:), sum.addControl(...)
///       outcome = try sum.reduce(over: world)
///     } while outcome == .again        // at most once
///     if outcome == .done { sum.read(...) } else { ... .nonFinite: skip the step ... }
///
/// Leaves of a scaled loss: windows, maxima and results are those of the gradients before scaling, so a change of the
/// scale moves no window.
///
/// Checkpoint ``exponents`` with the training state: the bits of the next step depend on them.
///
/// Unchecked Sendable: the integers are changed by workers only under the lock of their segment, statistics
/// under theirs; `shifts` and `windows` change only in calls of the main thread made while no worker is
/// adding.
public final class ExactSum: @unchecked Sendable {
  /// What ``reduce(over:onPoll:)`` found; the same on all ranks.
  public enum Outcome: Sendable, Equatable {
    /// The sums are there to read.
    case done
    /// A tensor's gradients did not fit; its window has been set from their maximum. Compute the leaves of
    /// the step once more, beginning with ``begin(leafCount:)`` (which also clears the caller's control
    /// words).
    case again
    /// A leaf of some rank held an infinity or NaN; the sums mean nothing, the windows are as before.
    case nonFinite
  }

  /// Elements of each trainable tensor.
  public let counts: [Int]
  /// Number of the caller's control words.
  public let controlCount: Int

  /// Largest number of elements under one lock.
  private static let segmentLength = 1 << 15
  /// Control words before the caller's: leaves that are not finite, (leaf, tensor) pairs above their window.
  static let reservedWords = 2

  /// [reserved and caller's control words | bracket counts per tensor | sums]; what travels.
  let words: UnsafeMutableBufferPointer<Int64>
  let firstSum: Int
  var windows: [Int32]
  private(set) var leafBits = GradientWindow.leafBits(leafCount: 0)
  private(set) var shifts: [Int32]
  /// log2 of what the leaves' gradients are too large by.
  private var scaleExponent: Int32 = 0
  /// Set while the words hold what travels or the result, cleared by `begin`.
  var isSealed = false
  /// Whether the windows come from the maxima of the step that is being repeated.
  var windowsAreFresh = false

  let statistics: Mutex<LeafStatistics>
  private let segments: [Segment]
  private let ticket = Atomic<Int>(0)

  /// - Parameters:
  ///   - counts: elements of each trainable tensor, in the order gradients are passed.
  ///   - controlCount: words the caller wants added along, see ``addControl(_:_:)``.
  public init(counts: [Int], controlCount: Int = 0) {
    precondition(counts.allSatisfy { $0 >= 0 }, "negative element count in \(counts)")
    self.counts = counts
    self.controlCount = controlCount
    firstSum = ExactSum.reservedWords + controlCount + counts.count
    words = .allocate(capacity: firstSum + counts.reduce(0, +))
    words.initialize(repeating: 0)
    windows = counts.map { _ in GradientWindow.unknown }
    shifts = counts.map { _ in 0 }
    segments = Segment.cut(counts, firstWord: firstSum, length: ExactSum.segmentLength)
    statistics = Mutex(LeafStatistics(controlCount: controlCount, tensorCount: counts.count))
    begin(leafCount: 0)
  }

  deinit { words.deallocate() }

  /// The exponents of the tensors' windows: training state, to be checkpointed after each step.
  public var exponents: [Int32] { windows }

  /// Takes the exponents of a checkpoint.
  /// - Throws: `CollectivesError.exponentCount` if they belong to other tensors.
  public func restore(exponents: [Int32]) throws {
    guard exponents.count == counts.count else {
      throw CollectivesError.exponentCount(expected: counts.count, found: exponents.count)
    }
    windows = exponents.map { GradientWindow.clamp($0) }
    windowsAreFresh = false
  }

  /// Clears sums and control words for a step.
  /// - Parameters:
  ///   - leafCount: leaves of the step over all ranks, at most 2^15; sets the room left for carries.
  ///   - scaleExponent: the gradients of the leaves are 2^scaleExponent times those that ``read(_:into:)`` gives.
  public func begin(leafCount: Int, scaleExponent: Int = 0) {
    leafBits = GradientWindow.leafBits(leafCount: leafCount)
    self.scaleExponent = Int32(scaleExponent)
    shifts = windows.map { GradientWindow.shift(exponent: $0 + self.scaleExponent, leafBits: leafBits) }
    words.update(repeating: 0)
    isSealed = false
    statistics.withLock { $0 = LeafStatistics(controlCount: controlCount, tensorCount: counts.count) }
  }

  /// Adds the gradients of one leaf. Any number of threads may do so at once.
  /// - Parameter gradients: one pointer per tensor to its `counts[i]` entries; nil stands for zeros.
  public func add(leaf gradients: [UnsafePointer<Float>?]) {
    precondition(gradients.count == counts.count, "\(gradients.count) gradients for \(counts.count) tensors")
    precondition(!isSealed, "a leaf was added after the reduction; begin(leafCount:) comes first")
    var maxima = [Float](repeating: 0, count: counts.count)
    // Each leaf starts elsewhere, so that workers seldom meet at a lock.
    let start = ticket.wrappingAdd(1, ordering: .relaxed).oldValue &* 40_503
    for step in segments.indices {
      let segment = segments[Int(UInt(bitPattern: start &+ step) % UInt(segments.count))]
      guard let gradient = gradients[segment.tensor] else { continue }
      let largest = segment.lock.withLock { _ in
        k_fixed_point_add(
          words.baseAddress.map { $0 + segment.word }, gradient + segment.offset, segment.count,
          shifts[segment.tensor])
      }
      // In this order a NaN stays.
      if !(largest <= maxima[segment.tensor]) { maxima[segment.tensor] = largest }
    }
    statistics.withLock { $0.count(maxima: maxima, scaleExponent: scaleExponent, windows: windows) }
  }

  /// Adds to one of the caller's control words, 0 ..< controlCount. Sums wrap around.
  public func addControl(_ index: Int, _ value: Int64) {
    statistics.withLock { $0.control[ExactSum.reservedWords + index] &+= value }
  }

  /// Adds Doubles of a leaf to one of the caller's control words, each as ``FixedPoint``; read their sum with
  /// ``controlDouble(_:)``.
  ///
  /// A sum that is not finite, or 2^(34 - k) and more for up to 2^k leaves (2^28 for up to 64), marks the
  /// step as non-finite instead.
  public func addControl(_ index: Int, rounding values: [Double]) {
    if let encoded = FixedPoint.encode(values, limitBits: 34 - leafBits) {
      addControl(index, encoded)
    } else {
      addNonFinite()
    }
  }

  /// Marks the step as non-finite, for a leaf whose loss is not, say.
  public func addNonFinite() {
    statistics.withLock { $0.control[0] &+= 1 }
  }

  /// The sum of a control word over all ranks, after ``reduce(over:onPoll:)``.
  public func control(_ index: Int) -> Int64 {
    precondition((0..<controlCount).contains(index), "control word \(index) of \(controlCount)")
    return words[ExactSum.reservedWords + index]
  }

  /// The sum of a control word filled by ``addControl(_:rounding:)``.
  public func controlDouble(_ index: Int) -> Double { FixedPoint.decode(control(index)) }

  /// Writes the summed gradient of a tensor, `counts[tensor]` entries, each divided by 2^scaleExponent and rounded, once
  /// for both. Only after `.done`.
  public func read(_ tensor: Int, into gradient: UnsafeMutablePointer<Float>) {
    let start = firstSum + counts[..<tensor].reduce(0, +)
    k_fixed_point_read(words.baseAddress.map { $0 + start }, gradient, counts[tensor], shifts[tensor] + scaleExponent)
  }
}

/// A run of elements of one tensor with its lock.
private struct Segment {
  let tensor: Int
  /// First element within the tensor, and within the words.
  let offset: Int
  let word: Int
  let count: Int
  let lock = SegmentLock()

  static func cut(_ counts: [Int], firstWord: Int, length: Int) -> [Segment] {
    var word = firstWord
    var segments: [Segment] = []
    for (tensor, total) in counts.enumerated() {
      for offset in stride(from: 0, to: total, by: length) {
        let count = min(length, total - offset)
        segments.append(Segment(tensor: tensor, offset: offset, word: word + offset, count: count))
      }
      word += total
    }
    return segments
  }
}

/// A mutex that can sit in an array.
private final class SegmentLock: Sendable {
  private let mutex = Mutex(())
  func withLock<R>(_ body: (inout ()) -> sending R) -> sending R { mutex.withLock(body) }
}

/// What the leaves of this rank have told so far, besides their sums.
struct LeafStatistics {
  /// Reserved words, then the caller's.
  var control: [Int64]
  var brackets: [WindowCounts]
  /// floor(log2) of each tensor's largest entry before scaling; `none` while all are zero.
  var logarithms: [Int32]

  static let none = Int32.min

  init(controlCount: Int, tensorCount: Int) {
    control = [Int64](repeating: 0, count: ExactSum.reservedWords + controlCount)
    brackets = [WindowCounts](repeating: WindowCounts(), count: tensorCount)
    logarithms = [Int32](repeating: LeafStatistics.none, count: tensorCount)
  }

  /// Takes in one leaf's largest magnitudes.
  mutating func count(maxima: [Float], scaleExponent: Int32, windows: [Int32]) {
    guard maxima.allSatisfy(\.isFinite) else {
      control[0] &+= 1
      return
    }
    for (tensor, maximum) in maxima.enumerated() where maximum != 0 {
      let logarithm = Int32(maximum.exponent) - scaleExponent
      logarithms[tensor] = max(logarithms[tensor], logarithm)
      if logarithm >= windows[tensor] {
        control[1] &+= 1
      } else {
        brackets[tensor].count(logarithm: logarithm, exponent: windows[tensor])
      }
    }
  }
}
