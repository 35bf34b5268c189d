import Diagnostics
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
/// Buffers are cut from slabs that the system is asked to back with huge pages.
public final class BufferPool: Sendable {
  private struct State: @unchecked Sendable {
    /// Free buffers by size class.
    var free: [Int: [UnsafeMutablePointer<Float>]] = [:]
    var slabs: [UnsafeMutableRawPointer] = []
    /// What is left of the last slab.
    var next: UnsafeMutableRawPointer?
    var remaining = 0
    var bytes = 0
  }
  private let state = Mutex(State())

  private static let slabBytes = 32 << 20
  private static let hugePage = 2 << 20

  public init() {}

  deinit {
    state.withLock { for slab in $0.slabs { Foundation.free(slab) } }
  }

  /// Bytes this pool has handed out at most.
  public var byteCount: Int { state.withLock { $0.bytes } }

  /// Bytes of the buffers that some tensor holds now.
  var heldByteCount: Int {
    state.withLock { state in
      state.bytes - state.free.reduce(0) { $0 + $1.key * $1.value.count } * MemoryLayout<Float>.stride
    }
  }

  /// Size classes are an eighth of a power of two apart, so that leaves of similar length share buffers.
  static func sizeClass(_ count: Int) -> Int {
    let least = max(count, 64)
    let step = max(64, 1 << (Int.bitWidth - 1 - least.leadingZeroBitCount - 3))
    return (least + step - 1) / step * step
  }

  /// Uninitialised room for `count` floats, aligned to 64 bytes: a free buffer of its class or one of the next four
  /// (at most half as large again), else a new one.
  public func storage(count: Int) -> Storage {
    let wanted = Self.sizeClass(count)
    let (pointer, size) = state.withLock { state in
      var size = wanted
      for _ in 0...4 {
        if let pointer = state.free[size]?.popLast() { return (pointer, size) }
        size = Self.sizeClass(size + 1)
      }
      return (Self.cut(wanted, from: &state), wanted)
    }
    return Storage(pointer: pointer, count: count) { [self] pointer in
      nonisolated(unsafe) let pointer = pointer
      state.withLock { $0.free[size, default: []].append(pointer) }
    }
  }

  private static func cut(_ count: Int, from state: inout State) -> UnsafeMutablePointer<Float> {
    let bytes = (count * MemoryLayout<Float>.stride + 63) / 64 * 64
    if bytes > state.remaining {
      let size = max(slabBytes, (bytes + hugePage - 1) / hugePage * hugePage)
      var memory: UnsafeMutableRawPointer?
      let status = posix_memalign(&memory, hugePage, size)
      guard status == 0, let memory else { MemoryShortage(bytes: size, for: "activations and gradients").endProcess() }
      madvise(memory, size, MADV_HUGEPAGE)
      state.slabs.append(memory)
      (state.next, state.remaining) = (memory, size)
    }
    guard let start = state.next else { preconditionFailure("a slab has a start") }
    state.next = start + bytes
    state.remaining -= bytes
    state.bytes += bytes
    return start.bindMemory(to: Float.self, capacity: count)
  }
}
