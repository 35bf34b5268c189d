/// All pieces of a vocabulary in one byte trie, for finding every piece that begins at a place of the text.
struct PieceTrie: Sendable {
  /// Children of node n are the edges `firstEdge[n] ..< firstEdge[n + 1]`, by ascending label; edge e leads
  /// to node e + 1.
  private var firstEdge: [Int32] = []
  private var labels: [UInt8] = []
  /// Piece that ends at each node, or -1.
  private var pieceAt: [Int32] = []

  /// - Parameter pieces: UTF-8 of each piece, by id. Of equal pieces the last one counts; empty ones are
  /// left out.
  init(_ pieces: [[UInt8]]) {
    let order = pieces.indices.sorted {
      pieces[$0] == pieces[$1] ? $0 < $1 : pieces[$0].lexicographicallyPrecedes(pieces[$1])
    }
    // Breadth first: node n stands for the pieces `order[ranges[n]]`, which share their first `depths[n]`
    // bytes.
    var ranges = [0..<order.count]
    var depths = [0]
    var node = 0
    while node < ranges.count {
      let depth = depths[node]
      var position = ranges[node].lowerBound
      let end = ranges[node].upperBound
      firstEdge.append(Int32(labels.count))
      var piece: Int32 = -1
      while position < end && pieces[order[position]].count == depth {
        if depth > 0 { piece = Int32(order[position]) }
        position += 1
      }
      pieceAt.append(piece)
      while position < end {
        let label = pieces[order[position]][depth]
        let start = position
        while position < end && pieces[order[position]][depth] == label { position += 1 }
        labels.append(label)
        ranges.append(start..<position)
        depths.append(depth + 1)
      }
      node += 1
    }
    firstEdge.append(Int32(labels.count))
  }

  /// Calls `body` with the length and id of every piece that begins at `start`, shortest first.
  @inline(__always)
  func forEachPiece(
    in text: UnsafeBufferPointer<UInt8>, from start: Int, _ body: (_ length: Int, _ id: Int32) -> Void
  ) {
    var node = 0
    var position = start
    while position < text.count {
      guard let child = child(of: node, label: text[position]) else { return }
      node = child
      position += 1
      if pieceAt[node] >= 0 { body(position - start, pieceAt[node]) }
    }
  }

  /// The piece that is exactly `text`.
  func piece(_ text: UnsafeBufferPointer<UInt8>) -> Int32? {
    var node = 0
    for byte in text {
      guard let child = child(of: node, label: byte) else { return nil }
      node = child
    }
    return pieceAt[node] < 0 ? nil : pieceAt[node]
  }

  @inline(__always)
  private func child(of node: Int, label: UInt8) -> Int? {
    var low = Int(firstEdge[node])
    var high = Int(firstEdge[node + 1])
    while low < high {
      let middle = (low + high) / 2
      if labels[middle] < label { low = middle + 1 } else { high = middle }
    }
    return low < Int(firstEdge[node + 1]) && labels[low] == label ? low + 1 : nil
  }
}
