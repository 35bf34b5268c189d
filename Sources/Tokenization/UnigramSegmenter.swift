/// The most probable segmentation of a word under a unigram model.
///
/// best(end) = max over pieces ending there of best(start) + score(piece); where no piece covers the next
/// character alone, the unknown piece does, at the lowest score of the vocabulary − 10; neighbouring
/// unknowns become one.
///
/// The scores are added up in Double. The SentencePiece library adds them in Float, which decides differently
/// between segmentations of equal probability, such as the two of "!!!!!": Hugging Face adds in Double, so
/// do we. Of equals the first found stays: the one whose last piece is longer.
/// Source: Kudo 2018, section 3.2; tokenizers `models/unigram/model.rs`, `encode_optimized`.
struct UnigramSegmenter: Sendable {
  private let trie: PieceTrie
  private let scores: [Double]
  private let unknownID: Int32
  private let unknownScore: Double

  init(pieces: [[UInt8]], scores: [Double], unknownID: Int32) {
    trie = PieceTrie(pieces)
    self.scores = scores
    self.unknownID = unknownID
    unknownScore = (scores.min() ?? 0) - 10
  }

  /// Best paths to each byte of a word: kept between words to spare allocations.
  struct Lattice {
    fileprivate struct Node {
      var score = 0.0
      var id: Int32 = 0
      var start: Int32 = -1
    }
    fileprivate var nodes: [Node] = []
    fileprivate var path: [(start: Int, id: Int32)] = []
  }

  /// Adds the ids of `word` (UTF-8) to `ids`.
  func segment(_ word: UnsafeBufferPointer<UInt8>, lattice: inout Lattice, into ids: inout [Int32]) {
    lattice.nodes.removeAll(keepingCapacity: true)
    lattice.nodes.append(contentsOf: repeatElement(Lattice.Node(), count: word.count + 1))
    lattice.nodes.withUnsafeMutableBufferPointer { fill($0, word) }
    lattice.path.removeAll(keepingCapacity: true)
    var end = word.count
    while end > 0 {
      let node = lattice.nodes[end]
      lattice.path.append((Int(node.start), node.id))
      end = Int(node.start)
    }
    appendFusingUnknowns(lattice.path, word, into: &ids)
  }

  private func fill(_ nodes: UnsafeMutableBufferPointer<Lattice.Node>, _ word: UnsafeBufferPointer<UInt8>) {
    var start = 0
    while start < word.count {
      let scoreHere = nodes[start].score
      let width = Self.width(word[start], limit: word.count - start)
      var coversCharacter = false
      trie.forEachPiece(in: word, from: start) { length, id in
        let score = scores[Int(id)] + scoreHere
        if nodes[start + length].start < 0 || score > nodes[start + length].score {
          nodes[start + length] = Lattice.Node(score: score, id: id, start: Int32(start))
        }
        if length == width { coversCharacter = true }
      }
      if !coversCharacter {
        let score = unknownScore + scoreHere
        if nodes[start + width].start < 0 || score > nodes[start + width].score {
          nodes[start + width] = Lattice.Node(score: score, id: unknownID, start: Int32(start))
        }
      }
      start += width
    }
  }

  /// A run of unknown characters is one unknown, unless its text happens to be a piece.
  private func appendFusingUnknowns(
    _ reversedPath: [(start: Int, id: Int32)], _ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]
  ) {
    var index = reversedPath.count - 1
    while index >= 0 {
      let (start, id) = reversedPath[index]
      index -= 1
      guard id == unknownID else {
        ids.append(id)
        continue
      }
      while index >= 0 && reversedPath[index].id == unknownID { index -= 1 }
      let end = index >= 0 ? reversedPath[index].start : word.count
      ids.append(trie.piece(UnsafeBufferPointer(rebasing: word[start..<end])) ?? unknownID)
    }
  }

  /// Bytes of the UTF-8 character that begins with `byte`.
  private static func width(_ byte: UInt8, limit: Int) -> Int {
    let width = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
    return min(width, limit)
  }
}
