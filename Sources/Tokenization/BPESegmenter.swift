/// Byte pair encoding: the neighbours whose merge has the lowest rank become one, the leftmost first, until none is
/// left.
///
/// Merges wait in a heap, so a word of n bytes takes O(n log n) steps. An entry whose neighbours have changed since
/// still counts if they would now become the same piece: Hugging Face merges then, at the rank of the older pair.
/// Source: Sennrich et al. 2016; tokenizers `models/bpe/word.rs`, `merge_all`.
struct BPESegmenter: Sendable {
  private let merges: MergeTable
  /// The id of each byte, −1 for those that the vocabulary does not have: they vanish, as in the reference.
  private let idOfByte: [Int32]

  init(merges: MergeTable, idOfByte: [Int32]) {
    self.merges = merges
    self.idOfByte = idOfByte
  }

  /// Memory that is kept between words.
  struct Workspace {
    fileprivate struct Symbol {
      /// −1: merged into the symbol on its left.
      var id: Int32
      var previous: Int32
      var next: Int32
    }
    fileprivate var symbols: [Symbol] = []
    fileprivate var queue = MinimumHeap()
  }

  /// Adds the ids of `word` to `ids`.
  func segment(_ word: UnsafeBufferPointer<UInt8>, _ workspace: inout Workspace, into ids: inout [Int32]) {
    workspace.symbols.removeAll(keepingCapacity: true)
    for byte in word where idOfByte[Int(byte)] >= 0 {
      let index = Int32(workspace.symbols.count)
      workspace.symbols.append(.init(id: idOfByte[Int(byte)], previous: index - 1, next: index + 1))
    }
    let count = workspace.symbols.count
    for index in 0..<max(count - 1, 0) { enqueue(index, index + 1, &workspace) }
    while let entry = workspace.queue.removeFirst() {
      let index = Int(entry & 0xFFFF_FFFF)
      let symbol = workspace.symbols[index]
      let next = Int(symbol.next)
      guard symbol.id >= 0, next < count else { continue }
      let id = merges.idOfRank[Int(entry >> 32)]
      guard merges.merge(symbol.id, workspace.symbols[next].id)?.id == id else { continue }
      let after = Int(workspace.symbols[next].next)
      workspace.symbols[index].id = id
      workspace.symbols[index].next = Int32(after)
      workspace.symbols[next].id = -1
      if after < count {
        workspace.symbols[after].previous = Int32(index)
        enqueue(index, after, &workspace)
      }
      if symbol.previous >= 0 { enqueue(Int(symbol.previous), index, &workspace) }
    }
    for symbol in workspace.symbols where symbol.id >= 0 { ids.append(symbol.id) }
  }

  @inline(__always)
  private func enqueue(_ left: Int, _ right: Int, _ workspace: inout Workspace) {
    guard let merge = merges.merge(workspace.symbols[left].id, workspace.symbols[right].id) else { return }
    workspace.queue.insert(UInt64(merge.rank) << 32 | UInt64(left))
  }
}

/// A binary heap whose first element is the smallest.
private struct MinimumHeap {
  private var elements: [UInt64] = []

  mutating func insert(_ element: UInt64) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard element < elements[parent] else { break }
      elements[child] = elements[parent]
      child = parent
    }
    elements[child] = element
  }

  mutating func removeFirst() -> UInt64? {
    guard let first = elements.first, let last = elements.popLast() else { return nil }
    guard !elements.isEmpty else { return first }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < elements.count else { break }
      if child + 1 < elements.count && elements[child + 1] < elements[child] { child += 1 }
      guard elements[child] < last else { break }
      elements[parent] = elements[child]
      parent = child
    }
    elements[parent] = last
    return first
  }
}
