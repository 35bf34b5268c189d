/// The merges of a BPE vocabulary: which neighbouring ids become one, and in which order.
struct MergeTable: Sendable {
  struct Merge: Sendable, Equatable {
    /// Merges of lower rank come first.
    let rank: UInt32
    let id: Int32
  }

  private struct Slot: Sendable {
    var pair: UInt64 = .max
    var merge = Merge(rank: 0, id: 0)
  }

  private var slots: [Slot]
  /// The result of the merge of each rank.
  let idOfRank: [Int32]

  /// - Parameter merges: by rank. Of equal pairs the last one counts.
  init(_ merges: [(left: Int32, right: Int32, id: Int32)]) {
    var capacity = 16
    while capacity < 2 * merges.count { capacity *= 2 }
    slots = Array(repeating: Slot(), count: capacity)
    idOfRank = merges.map(\.id)
    for (rank, merge) in merges.enumerated() {
      let pair = Self.pair(merge.left, merge.right)
      slots[index(of: pair)] = Slot(pair: pair, merge: Merge(rank: UInt32(rank), id: merge.id))
    }
  }

  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> Merge? {
    let pair = Self.pair(left, right)
    let slot = slots[index(of: pair)]
    return slot.pair == pair ? slot.merge : nil
  }

  /// Adds what ids depend on.
  func add(to key: inout ContentKey) {
    key.add(slots.count)
    for slot in slots where slot.pair != .max {
      key.add(Int(truncatingIfNeeded: slot.pair))
      key.add(Int(slot.merge.rank))
      key.add(Int(slot.merge.id))
    }
  }

  @inline(__always)
  private func index(of pair: UInt64) -> Int {
    let mask = slots.count - 1
    var index = Int(truncatingIfNeeded: (pair &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
    while slots[index].pair != pair && slots[index].pair != .max { index = (index + 1) & mask }
    return index
  }

  @inline(__always)
  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}
