import Foundation
import Synchronization

/// A run of fp32 values somewhere in memory, returned to its owner when the last tensor over it goes.
///
/// Safety of `@unchecked Sendable`: a storage has no lock. A tensor is written only by the code that made it, before it
/// is shown to anyone else; weights are written between steps, when no worker runs.
public final class Storage: @unchecked Sendable {
  public let pointer: UnsafeMutablePointer<Float>
  public let count: Int
  private let onRelease: (UnsafeMutablePointer<Float>) -> Void

  public init(
    pointer: UnsafeMutablePointer<Float>, count: Int, onRelease: @escaping (UnsafeMutablePointer<Float>) -> Void
  ) {
    self.pointer = pointer
    self.count = count
    self.onRelease = onRelease
  }

  deinit { onRelease(pointer) }
}

/// Reusable buffers for the activations and gradients of one leaf worker.
///
/// A trainer that maps fresh pages for every activation spends half of its time in page faults; here a buffer goes back
/// to the list of its size class when its tensor dies and is handed out again, so that the steady state allocates nothing.
public final class BufferPool: Sendable {
  private struct FreeLists: @unchecked Sendable {
    var buffers: [Int: [UnsafeMutablePointer<Float>]] = [:]
    var bytes = 0
  }
  private let free = Mutex(FreeLists())

  public init() {}

  deinit {
    free.withLock { lists in
      for list in lists.buffers.values { for buffer in list { Foundation.free(buffer) } }
    }
  }

  /// Bytes this pool has taken from the system.
  public var byteCount: Int { free.withLock { $0.bytes } }

  /// Size classes are an eighth of a power of two apart, so that leaves of similar length share buffers.
  static func sizeClass(_ count: Int) -> Int {
    let least = max(count, 64)
    let step = max(64, 1 << (Int.bitWidth - 1 - least.leadingZeroBitCount - 3))
    return (least + step - 1) / step * step
  }

  /// Uninitialised room for `count` floats, aligned to 64 bytes.
  public func storage(count: Int) -> Storage {
    let size = Self.sizeClass(count)
    let reused: UnsafeMutablePointer<Float>? = free.withLock { lists in lists.buffers[size]?.popLast() }
    let pointer = reused ?? allocate(size)
    return Storage(pointer: pointer, count: count) { [self] pointer in
      nonisolated(unsafe) let pointer = pointer
      free.withLock { $0.buffers[size, default: []].append(pointer) }
    }
  }

  private func allocate(_ size: Int) -> UnsafeMutablePointer<Float> {
    var memory: UnsafeMutableRawPointer?
    let status = posix_memalign(&memory, 64, size * MemoryLayout<Float>.stride)
    guard status == 0, let memory else {
      preconditionFailure("out of memory: \(size * 4) bytes for an activation")
    }
    free.withLock { $0.bytes += size * MemoryLayout<Float>.stride }
    return memory.bindMemory(to: Float.self, capacity: size)
  }
}
