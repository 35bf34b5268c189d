/// Pieces by their bytes: a hash table with open addressing.
struct PieceTable: Sendable {
  private struct Slot: Sendable {
    var hash: UInt64 = 0
    var start: Int32 = 0
    var length: Int32 = 0
    /// −1: free.
    var id: Int32 = -1
  }

  private var slots: [Slot]
  private var bytes: [UInt8] = []
  /// No piece is longer.
  private(set) var longest = 0

  /// - Parameter pieces: of equal pieces the last one counts; empty ones are left out.
  init(_ pieces: some Collection<(bytes: [UInt8], id: Int32)>) {
    var capacity = 16
    while capacity < 2 * pieces.count { capacity *= 2 }
    slots = Array(repeating: Slot(), count: capacity)
    for (piece, id) in pieces where !piece.isEmpty { insert(piece, id) }
  }

  private mutating func insert(_ piece: [UInt8], _ id: Int32) {
    piece.withUnsafeBufferPointer { piece in
      let hash = Self.hash(piece)
      let index = index(of: piece, hash: hash)
      if slots[index].id < 0 {
        slots[index] = Slot(hash: hash, start: Int32(bytes.count), length: Int32(piece.count), id: id)
        bytes += piece
        longest = max(longest, piece.count)
      } else {
        slots[index].id = id
      }
    }
  }

  @inline(__always)
  func id(of piece: UnsafeBufferPointer<UInt8>) -> Int32? {
    guard piece.count <= longest else { return nil }
    let id = slots[index(of: piece, hash: Self.hash(piece))].id
    return id < 0 ? nil : id
  }

  func id(of piece: [UInt8]) -> Int32? { piece.withUnsafeBufferPointer { id(of: $0) } }

  /// The slot of `piece`, or the free one where it would go.
  @inline(__always)
  private func index(of piece: UnsafeBufferPointer<UInt8>, hash: UInt64) -> Int {
    let mask = slots.count - 1
    var index = Int(truncatingIfNeeded: hash) & mask
    while slots[index].id >= 0 {
      let slot = slots[index]
      if slot.hash == hash && Int(slot.length) == piece.count && equals(piece, at: Int(slot.start)) { break }
      index = (index + 1) & mask
    }
    return index
  }

  @inline(__always)
  private func equals(_ piece: UnsafeBufferPointer<UInt8>, at start: Int) -> Bool {
    for offset in 0..<piece.count where bytes[start + offset] != piece[offset] { return false }
    return true
  }

  /// FNV-1a of 64 bits, its upper half folded into the lower.
  @inline(__always)
  private static func hash(_ piece: UnsafeBufferPointer<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in piece { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    return hash ^ hash >> 32
  }
}
