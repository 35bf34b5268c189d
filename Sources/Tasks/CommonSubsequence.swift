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
  static func places(_ a: [Int32], _ b: [Int32]) -> [Int] {
    let width = b.count + 1
    var table = [Int32](repeating: 0, count: (a.count + 1) * width)
    var places: [Int] = []
    table.withUnsafeMutableBufferPointer { table in
      for i in a.indices {
        let above = i * width
        let row = above + width
        for j in b.indices {
          table[row + j + 1] = a[i] == b[j] ? table[above + j] + 1 : max(table[above + j + 1], table[row + j])
        }
      }
      var (i, j) = (a.count, b.count)
      while i > 0, j > 0 {
        if a[i - 1] == b[j - 1] {
          places.append(i - 1)
          (i, j) = (i - 1, j - 1)
        } else if table[i * width + j - 1] > table[(i - 1) * width + j] {
          j -= 1
        } else {
          i -= 1
        }
      }
    }
    return places
  }
}
