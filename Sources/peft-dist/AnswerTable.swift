import Synchronization

/// Texts that workers fill in, in the order of their numbers.
final class AnswerTable: Sendable {
  private let storage: Mutex<[String]>

  init(count: Int) { storage = Mutex(Array(repeating: "", count: count)) }

  func set(_ index: Int, _ text: String) { storage.withLock { $0[index] = text } }
  var texts: [String] { storage.withLock { $0 } }
}
