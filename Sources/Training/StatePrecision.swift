import CKernels
import TensorCore

/// In which width the states of frozen layers are kept. What a leaf goes on with is rounded to it, kept or not.
public enum StatePrecision: String, Sendable, CaseIterable {
  case fp32
  case bf16

  var bytesPerValue: Int { self == .fp32 ? 4 : 2 }

  /// `states` as they are kept.
  func write(_ states: Tensor, to room: UnsafeMutableRawPointer) {
    switch self {
    case .fp32: room.copyMemory(from: states.pointer, byteCount: 4 * states.count)
    case .bf16: k_float_to_bf16(states.pointer, room.assumingMemoryBound(to: UInt16.self), states.count)
    }
  }

  /// What was kept in `room`, as fp32.
  func read(_ room: UnsafeRawPointer, into states: Tensor) {
    switch self {
    case .fp32: UnsafeMutableRawPointer(states.pointer).copyMemory(from: room, byteCount: 4 * states.count)
    case .bf16: k_bf16_to_float(room.assumingMemoryBound(to: UInt16.self), states.pointer, states.count)
    }
  }

  /// Rounds `states` in place.
  func round(_ states: Tensor, in pool: BufferPool) {
    guard self == .bf16 else { return }
    let bits = Tensor([(states.count + 1) / 2], in: pool)
    write(states, to: bits.pointer)
    read(bits.pointer, into: states)
  }
}
