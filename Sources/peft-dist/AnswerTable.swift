import Synchronization

/// Texts that workers fill in, taken out in the order of their numbers.
final class AnswerTable: Sendable {
  private struct Rows: Sendable {
    var texts: [[String]?]
    var taken = 0
  }
  private let rows: Mutex<Rows>

  init(count: Int) { rows = Mutex(Rows(texts: Array(repeating: nil, count: count))) }

  func set(_ index: Int, _ texts: [String]) { rows.withLock { $0.texts[index] = texts } }

  /// All texts up to the first number that is still missing, but for those taken before.
  func takeReady() -> [String] {
    rows.withLock { rows in
      var ready: [String] = []
      while rows.taken < rows.texts.count, let texts = rows.texts[rows.taken] {
        ready += texts
        rows.texts[rows.taken] = []
        rows.taken += 1
      }
      return ready
    }
  }
}
