/// WordPiece: from left to right the longest piece that fits, "##" in front of those inside a word.
///
/// A word that cannot be covered, or has more than 100 characters, is one unknown.
/// Source: Wu et al. 2016; tokenizers `models/wordpiece/mod.rs`, `tokenize`.
struct WordPieceSegmenter: Sendable {
  private static let mostCharacters = 100

  private let words: PieceTable
  private let beginnings: PieceTrie
  private let continuations: PieceTrie
  private let unknownID: Int32

  /// - Parameter pieces: by id; of equal pieces the last one counts.
  init(pieces: [[UInt8]], prefix: [UInt8], unknownID: Int32) {
    words = PieceTable(PieceList.numbered(pieces))
    beginnings = PieceTrie(pieces)
    continuations = PieceTrie(pieces.map { $0.starts(with: prefix) ? Array($0.dropFirst(prefix.count)) : [] })
    self.unknownID = unknownID
  }

  /// Adds the ids of `word` to `ids`.
  func segment(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    guard word.count <= Self.mostCharacters || Self.characterCount(word) <= Self.mostCharacters else {
      ids.append(unknownID)
      return
    }
    if let id = words.id(of: word) {
      ids.append(id)
      return
    }
    let before = ids.count
    var position = 0
    while position < word.count {
      var longest: (length: Int, id: Int32)?
      (position == 0 ? beginnings : continuations).forEachPiece(in: word, from: position) { longest = ($0, $1) }
      guard let longest else {
        ids.removeSubrange(before...)
        ids.append(unknownID)
        return
      }
      ids.append(longest.id)
      position += longest.length
    }
  }

  private static func characterCount(_ word: UnsafeBufferPointer<UInt8>) -> Int {
    word.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
  }
}
