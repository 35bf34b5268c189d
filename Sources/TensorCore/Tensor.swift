import CKernels
import Diagnostics
import Foundation

/// A contiguous row-major fp32 array.
///
/// Value semantics are the caller's duty: copies share their storage. An operation writes only tensors it has made.
public struct Tensor: Sendable {
  public private(set) var storage: Storage
  /// Position of the first element in the storage, in elements.
  public let offset: Int
  public let shape: [Int]

  public init(storage: Storage, offset: Int = 0, shape: [Int]) {
    precondition(
      offset >= 0 && offset + shape.reduce(1, *) <= storage.count,
      "tensor \(shape) at \(offset) exceeds its storage of \(storage.count)")
    self.storage = storage
    self.offset = offset
    self.shape = shape
  }

  /// Uninitialised, from `pool`.
  public init(_ shape: [Int], in pool: BufferPool) {
    self.init(storage: pool.storage(count: shape.reduce(1, *)), shape: shape)
  }

  /// Zeros in memory of its own, for parameters and other long-lived values.
  public init(zeros shape: [Int]) {
    let count = shape.reduce(1, *)
    guard let memory = calloc(max(count, 1), MemoryLayout<Float>.stride) else {
      MemoryShortage(bytes: count * MemoryLayout<Float>.stride, for: "a tensor of shape \(shape)").endProcess()
    }
    let pointer = memory.bindMemory(to: Float.self, capacity: max(count, 1))
    self.init(storage: Storage(pointer: pointer, count: count) { free($0) }, shape: shape)
  }

  /// A copy of `values` in memory of its own.
  public init(_ values: some Collection<Float>, shape: [Int]) {
    precondition(values.count == shape.reduce(1, *), "\(values.count) values for shape \(shape)")
    self.init(zeros: shape)
    for (index, value) in values.enumerated() { pointer[index] = value }
  }

  public var pointer: UnsafeMutablePointer<Float> { storage.pointer + offset }
  public var count: Int { shape.reduce(1, *) }
  /// Product of all dimensions but the last.
  public var rows: Int { shape.isEmpty ? 1 : shape.dropLast().reduce(1, *) }
  /// The last dimension.
  public var width: Int { shape.last ?? 1 }

  public var buffer: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: pointer, count: count) }
  public var values: [Float] { Array(buffer) }

  /// The same elements under another shape.
  public func reshaped(_ newShape: [Int]) -> Tensor { Tensor(storage: storage, offset: offset, shape: newShape) }

  /// Rows `range` of the first dimension, sharing storage.
  public func rows(_ range: Range<Int>) -> Tensor {
    let stride = shape.dropFirst().reduce(1, *)
    return Tensor(
      storage: storage, offset: offset + range.lowerBound * stride, shape: [range.count] + shape.dropFirst())
  }

  /// A copy in memory of its own.
  public func copy() -> Tensor {
    let result = Tensor(zeros: shape)
    result.copyElements(from: self)
    return result
  }

  /// Overwrites the elements with those of `other`, of equal count.
  public func copyElements(from other: Tensor) {
    precondition(count == other.count, "copy of \(other.shape) onto \(shape)")
    pointer.update(from: other.pointer, count: count)
  }

  /// Whether no other tensor shares the storage, so that it may be overwritten.
  public mutating func isUniquelyReferenced() -> Bool { isKnownUniquelyReferenced(&storage) }

  /// The memory as 16-bit words, for values kept in half the width.
  public func withBits<Result>(_ body: (UnsafeMutablePointer<UInt16>) -> Result) -> Result {
    pointer.withMemoryRebound(to: UInt16.self, capacity: 2 * count, body)
  }

  /// Whether both hold the same bits in the same shape.
  public func hasSameBytes(as other: Tensor) -> Bool {
    shape == other.shape && memcmp(pointer, other.pointer, count * MemoryLayout<Float>.stride) == 0
  }

  /// Tells the system that the elements are not needed soon: pages of a mapped file cost no memory until they are read again.
  public func releasePages() {
    let (first, end) = (UInt(bitPattern: pointer), UInt(bitPattern: pointer + count))
    let (start, stop) = ((first + 4095) & ~4095, end & ~4095)
    guard start < stop, let memory = UnsafeMutableRawPointer(bitPattern: start) else { return }
    madvise(memory, Int(stop - start), 21)  // MADV_PAGEOUT
  }

  public func fill(_ value: Float) { k_fill(pointer, value, count) }
}
