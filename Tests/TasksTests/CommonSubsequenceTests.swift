import Testing

@testable import Tasks

/// Bands of rows instead of a whole table: the same choice among several longest subsequences.
@Suite struct CommonSubsequenceTests {
  /// rouge-score's `_lcs_table` and `_backtrack_norec`, as they stand there.
  private static func table(_ a: [Int32], _ b: [Int32]) -> [Int] {
    var t = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
    for i in a.indices {
      for j in b.indices { t[i + 1][j + 1] = a[i] == b[j] ? t[i][j] + 1 : max(t[i][j + 1], t[i + 1][j]) }
    }
    var (i, j, places) = (a.count, b.count, [Int]())
    while i > 0, j > 0 {
      if a[i - 1] == b[j - 1] {
        places.append(i - 1)
        (i, j) = (i - 1, j - 1)
      } else if t[i][j - 1] > t[i - 1][j] {
        j -= 1
      } else {
        i -= 1
      }
    }
    return places
  }

  @Test func placesAreThoseOfTheWholeTable() {
    var random = SystemRandomNumberGenerator()
    for rows in [0, 1, 2, 3, 4, 5, 15, 16, 17, 60, 101] {
      for columns in [0, 1, 7, 50, 120] {
        let a = (0..<rows).map { _ in Int32.random(in: 0..<4, using: &random) }
        let b = (0..<columns).map { _ in Int32.random(in: 0..<4, using: &random) }
        let places = CommonSubsequence.places(a, b)
        #expect(places == Self.table(a, b), "\(a) \(b)")
        #expect(places.count == CommonSubsequence.length(a, b))
      }
    }
  }
}
