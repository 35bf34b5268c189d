import Testing

@testable import Tokenization

/// Byte pair encoding against a plain search for the best merge.
@Suite struct BPESegmenterTests {
  /// Ids are bytes below 256; merge k makes id 256 + k.
  private struct Merges {
    var pairs: [(left: Int32, right: Int32)] = []

    var segmenter: BPESegmenter {
      BPESegmenter(
        merges: MergeTable(pairs.enumerated().map { ($1.left, $1.right, Int32(256 + $0)) }),
        idOfByte: Array(0..<256))
    }

    func slowly(_ word: [UInt8]) -> [Int32] {
      var ids = word.map { Int32($0) }
      for (rank, pair) in pairs.enumerated() {
        var index = 0
        while index + 1 < ids.count {
          if ids[index] == pair.left && ids[index + 1] == pair.right {
            ids.replaceSubrange(index...(index + 1), with: [Int32(256 + rank)])
          }
          index += 1
        }
      }
      return ids
    }
  }

  private func segment(_ word: [UInt8], _ segmenter: BPESegmenter) -> [Int32] {
    var (workspace, ids) = (BPESegmenter.Workspace(), [Int32]())
    word.withUnsafeBufferPointer { segmenter.segment($0, &workspace, into: &ids) }
    return ids
  }

  /// A merge can only be of pieces that came before, so one pass by rank is the whole algorithm.
  @Test(arguments: 0..<40) func randomVocabularies(seed: Int) {
    var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
    func random(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    var merges = Merges()
    var seen = Set<UInt64>()
    for rank in 0..<60 {
      func piece() -> Int32 {
        let number = random(3 + rank)
        return Int32(number < 3 ? 97 + number : 253 + number)
      }
      let pair = (piece(), piece())
      if seen.insert(UInt64(pair.0) << 32 | UInt64(pair.1)).inserted { merges.pairs.append(pair) }
      if merges.pairs.count <= rank { break }
    }
    let segmenter = merges.segmenter
    for length in 0..<60 {
      let word = (0..<length).map { _ in UInt8(97 + random(3)) }
      #expect(segment(word, segmenter) == merges.slowly(word), "\(word)")
    }
  }

  @Test func theLeftmostOfEqualsComesFirst() {
    let merges = Merges(pairs: [(97, 97)])
    #expect(segment(Array("aaaaa".utf8), merges.segmenter) == [256, 256, 97])
  }

  @Test func bytesWithoutAPieceVanish() {
    var idOfByte = [Int32](repeating: -1, count: 256)
    idOfByte[97] = 0
    let segmenter = BPESegmenter(merges: MergeTable([(0, 0, 1)]), idOfByte: idOfByte)
    #expect(segment(Array("abaca".utf8), segmenter) == [1, 0] && segment(Array("xyz".utf8), segmenter) == [])
  }
}
