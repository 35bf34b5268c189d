import Testing

@testable import Tokenization

@Suite struct PairTruncationTests {
  /// The rule of tokenizers, `utils/truncation.rs`, step by step.
  private func reference(_ first: Int, _ second: Int, _ room: Int) -> [Int] {
    guard first + second > room else { return [first, second] }
    var (short, long) = (min(first, second), max(first, second))
    long = short > room ? short : max(short, room - short)
    if short + long > room { (short, long) = (room / 2, room / 2 + room % 2) }
    return first > second ? [long, short] : [short, long]
  }

  @Test func longestFirst() {
    for first in 0...12 {
      for second in 0...12 {
        for room in 0...26 {
          let found = PairTruncation.longestFirst(first, second, room: room)
          #expect([found.first, found.second] == reference(first, second, room), "\(first) \(second) \(room)")
        }
        #expect(PairTruncation.longestFirst(first, second, room: -3) == (0, 0))
      }
    }
  }

  @Test func oneSide() {
    func lengths(_ truncation: PairTruncation, _ first: Int, _ second: Int, _ room: Int) -> [Int]? {
      truncation.lengths(first, second, room: room).map { [$0.first, $0.second] }
    }
    #expect(lengths(.onlyFirst, 5, 4, 6) == [2, 4] && lengths(.onlySecond, 5, 4, 6) == [5, 1])
    #expect(lengths(.onlyFirst, 3, 4, 7) == [3, 4] && lengths(.longestFirst, 3, 4, 6) == [3, 3])
    #expect(lengths(.onlyFirst, 3, 4, 4) == nil && lengths(.onlySecond, 5, 4, 5) == nil)
  }
}
