import Synchronization

/// Where workers get the numbers of the leaves they compute.
protocol LeafSource: Sendable {
  /// The next leaf for `worker`, nil once there are no more. Called on worker threads; may block.
  func next(worker: Int) -> Int?
  /// From now on there are no more leaves, and nobody is left waiting for one.
  func close()
}

/// Numbers counted up from zero.
final class LeafCounter: LeafSource {
  private let count: Int
  private let taken = Atomic<Int>(0)
  private let isClosed = Atomic<Bool>(false)

  init(count: Int) { self.count = count }

  func next(worker: Int) -> Int? {
    guard !isClosed.load(ordering: .relaxed) else { return nil }
    let item = taken.wrappingAdd(1, ordering: .relaxed).oldValue
    return item < count ? item : nil
  }

  func close() { isClosed.store(true, ordering: .relaxed) }
}
