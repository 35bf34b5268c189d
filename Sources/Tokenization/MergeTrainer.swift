/// Trains the vocabulary of byte-level BPE: the most frequent pair of neighbouring pieces becomes a piece, over and over.
///
/// Of pairs as frequent as each other the one with the lower ids comes first, as in tokenizers `models/bpe/trainer.rs`. The same texts
/// in any order give the same vocabulary.
/// Source: Sennrich et al. 2016, algorithm 1; Radford et al. 2019, §2.2.
public struct MergeTrainer: Sendable {
  /// Ids: those of the special tokens in front, of the 256 bytes, and of the merges.
  public let vocabularySize: Int
  /// Special tokens with the first ids, in this order.
  public let firstTokens: [String]

  /// - Parameter firstTokens: such as `<s>`, `<pad>`, `</s>`, `<unk>` of RoBERTa.
  public init(vocabularySize: Int, firstTokens: [String]) {
    self.vocabularySize = vocabularySize
    self.firstTokens = firstTokens
  }

  public struct Vocabulary: Sendable, Equatable {
    /// By id, in the characters that stand for bytes.
    public let pieces: [String]
    /// The pairs in the order in which they are joined.
    public let merges: [[String]]
  }

  private struct Pair: Hashable {
    let left: Int
    let right: Int
  }

  /// - Throws: `TokenizationError.untrainable` where there is no text, or no pair is left before all ids are taken.
  public func train(_ texts: some Sequence<String>) throws -> Vocabulary {
    let alphabet = ByteAlphabet.characters.map(\.value).sorted()
    let places = Dictionary(uniqueKeysWithValues: alphabet.enumerated().map { ($1, firstTokens.count + $0) })
    let byteIDs = ByteAlphabet.characters.map { places[$0.value] ?? 0 }
    var pieces = firstTokens + alphabet.map { String(Unicode.Scalar($0) ?? " ") }
    var known = Dictionary(uniqueKeysWithValues: pieces.enumerated().map { ($1, $0) })

    var frequencies: [[UInt8]: Int] = [:]
    for var text in texts {
      text.withUTF8 { bytes in ByteLevelWords.forEach(in: bytes) { frequencies[Array($0), default: 0] += 1 } }
    }
    guard !frequencies.isEmpty else { throw untrainable("there is no text to train on") }
    var table = PairTable(words: frequencies.map { (ids: $0.key.map { byteIDs[Int($0)] }, count: $0.value) })
    var merges: [[String]] = []
    while pieces.count < vocabularySize {
      guard let pair = table.mostFrequent() else {
        throw untrainable(
          "the text has no more pairs to join after \(pieces.count) pieces; take a smaller vocabulary or more text")
      }
      let joined = pieces[pair.left] + pieces[pair.right]
      let id = known[joined] ?? pieces.count
      if id == pieces.count {
        pieces.append(joined)
        known[joined] = id
      }
      merges.append([pieces[pair.left], pieces[pair.right]])
      table.join(pair, into: id)
    }
    return Vocabulary(pieces: pieces, merges: merges)
  }

  private func untrainable(_ reason: String) -> TokenizationError {
    .untrainable(pieces: vocabularySize, reason: reason)
  }

  /// How often each pair occurs, and where.
  private struct PairTable {
    private var words: [(ids: [Int], count: Int)]
    private var counts: [Pair: Int] = [:]
    /// Words that had a pair when it was last counted.
    private var places: [Pair: Set<Int>] = [:]
    /// Pairs by their count; a join makes none that is more frequent than itself, so the highest count only falls.
    private var byCount: [Int: Set<Pair>] = [:]
    private var highest = 0

    init(words: [(ids: [Int], count: Int)]) {
      self.words = words
      for word in words.indices { count(word, sign: 1) }
      highest = byCount.keys.max() ?? 0
    }

    mutating func mostFrequent() -> Pair? {
      while highest > 0, byCount[highest]?.isEmpty ?? true { highest -= 1 }
      return byCount[highest]?.min { ($0.left, $0.right) < ($1.left, $1.right) }
    }

    mutating func join(_ pair: Pair, into id: Int) {
      for word in places[pair] ?? [] {
        count(word, sign: -1)
        let old = words[word].ids
        var (ids, position): ([Int], Int) = ([], 0)
        while position < old.count {
          let isPair = position + 1 < old.count && old[position] == pair.left && old[position + 1] == pair.right
          ids.append(isPair ? id : old[position])
          position += isPair ? 2 : 1
        }
        words[word].ids = ids
        count(word, sign: 1)
      }
    }

    private mutating func count(_ word: Int, sign: Int) {
      let (ids, frequency) = words[word]
      for (left, right) in zip(ids, ids.dropFirst()) {
        let pair = Pair(left: left, right: right)
        let old = counts[pair] ?? 0
        let new = old + sign * frequency
        if old > 0 { byCount[old]?.remove(pair) }
        if new > 0 { byCount[new, default: []].insert(pair) }
        counts[pair] = new > 0 ? new : nil
        if sign > 0 { places[pair, default: []].insert(word) }
      }
    }
  }
}
