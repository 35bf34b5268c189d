/// Longest common subsequences of tokens.
///
/// t[i][j] is the length for the first i tokens of one list and the first j of the other. Source: rouge-score
/// `rouge_scorer.py`, `_lcs_table` and `_backtrack_norec`, whose choice among several longest ones is kept.
enum CommonSubsequence {
  /// Its length: one row of the table at a time.
  static func length(_ a: [Int32], _ b: [Int32]) -> Int {
    var row = [Int32](repeating: 0, count: b.count + 1)
    row.withUnsafeMutableBufferPointer { row in
      for token in a {
        var diagonal: Int32 = 0
        for j in b.indices {
          let above = row[j + 1]
          row[j + 1] = b[j] == token ? diagonal + 1 : max(above, row[j])
          diagonal = above
        }
      }
    }
    return Int(row[b.count])
  }

  /// Places in `a` of one of the longest, descending.
  ///
  /// The table is walked from its end, a band of rows at a time: every √(rows)-th row is kept on the way down, and the
  /// band below one is made again from it. So 40,000 tokens on both sides take 64 MB instead of 6.4 GB, for twice the work.
  static func places(_ a: [Int32], _ b: [Int32]) -> [Int] {
    let width = b.count + 1
    let height = max(1, Int(Double(a.count).squareRoot().rounded(.up)))
    var kept = [Int32](repeating: 0, count: width)
    var band = [Int32](repeating: 0, count: (height + 1) * width)
    let starts = Array(stride(from: 0, to: a.count, by: height))
    for start in starts.dropLast() {
      fill(&band, from: kept[(start / height * width)...], a[start..<start + height], b)
      kept += band.suffix(width)
    }
    var places: [Int] = []
    var (i, j) = (a.count, b.count)
    for start in starts.reversed() where j > 0 {
      fill(&band, from: kept[(start / height * width)...], a[start..<min(start + height, a.count)], b)
      while i > start, j > 0 {
        let row = (i - start) * width
        if a[i - 1] == b[j - 1] {
          places.append(i - 1)
          (i, j) = (i - 1, j - 1)
        } else if band[row + j - 1] > band[row - width + j] {
          j -= 1
        } else {
          i -= 1
        }
      }
    }
    return places
  }

  /// Rows of the table for the tokens `a`, below the row that `first` begins with.
  private static func fill(_ band: inout [Int32], from first: ArraySlice<Int32>, _ a: ArraySlice<Int32>, _ b: [Int32]) {
    let width = b.count + 1
    band.withUnsafeMutableBufferPointer { band in
      for j in 0..<width { band[j] = first[first.startIndex + j] }
      var above = 0
      for token in a {
        let row = above + width
        for j in b.indices {
          band[row + j + 1] = token == b[j] ? band[above + j] + 1 : max(band[above + j + 1], band[row + j])
        }
        above = row
      }
    }
  }
}
