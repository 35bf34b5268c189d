import Testing

@testable import Tokenization

@Suite struct UnigramSegmenterTests {
  private func segment(_ word: String, _ pieces: [(String, Double)]) -> [Int32] {
    let segmenter = UnigramSegmenter(
      pieces: pieces.map { Array($0.0.utf8) }, scores: pieces.map(\.1), unknownID: 0)
    var ids: [Int32] = []
    var lattice = UnigramSegmenter.Lattice()
    Array(word.utf8).withUnsafeBufferPointer { segmenter.segment($0, lattice: &lattice, into: &ids) }
    return ids
  }

  @Test func mostProbable() {
    let pieces: [(String, Double)] = [("<unk>", 0), ("a", -1), ("b", -2), ("ab", -2.5), ("abb", -5)]
    #expect(segment("ab", pieces) == [3])
    #expect(segment("abb", pieces) == [3, 2])
    #expect(segment("bab", pieces) == [2, 3])
  }

  @Test func ofEqualsTheFirstFoundStays() {
    #expect(segment("aaa", [("<unk>", 0), ("a", -1), ("aa", -1.5)]) == [1, 2])
  }

  /// −2²⁴ − 1 − 1 is −2²⁴ in Float, which would beat the whole word.
  @Test func scoresAddUpInDouble() {
    let pieces: [(String, Double)] = [
      ("<unk>", 0), ("a", -16_777_216), ("b", -1), ("c", -1), ("abc", -16_777_218),
    ]
    #expect(segment("abc", pieces) == [4])
  }

  @Test func unknownsFuse() {
    let pieces: [(String, Double)] = [("<unk>", 0), ("a", -1)]
    #expect(segment("xéya", pieces) == [0, 1])
    #expect(segment("axay", pieces) == [1, 0, 1, 0])
    #expect(segment("", pieces) == [])
  }

  @Test func ofEqualPiecesTheLastCounts() {
    #expect(segment("a", [("<unk>", 0), ("a", -1), ("a", -2)]) == [2])
  }
}
