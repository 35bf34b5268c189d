/// Where the states of which examples lie: flags first, then the states that are kept for the run, in data-set order, as many
/// as fit, then room for those of a step.
struct ActivationCachePlan: Sendable {
  struct Slot: Equatable {
    /// Of the flag.
    let number: Int
    /// In bytes from the start of the memory.
    let offset: Int
    let valueCount: Int
    /// Step for which it holds, 0 for all.
    let round: UInt32

    /// What the flag says while the states are computed, and once they are there; it says less before.
    var claimed: UInt32 { 2 * round + 1 }
    var ready: UInt32 { 2 * round + 2 }
  }

  /// Room for examples of a step that are not kept.
  struct StepRoom: Sendable {
    var examples = 0
    var rows = 0
  }

  let precision: StatePrecision
  let width: Int
  /// Examples that are kept.
  let exampleCount: Int
  /// Room of what is kept.
  let keptByteCount: Int
  let byteCount: Int
  private let step: StepRoom
  /// By index in the data set: number of the slot, -1 for none.
  private let numbers: [Int32]
  /// By slot: first row; one more at the end.
  private let starts: [Int]

  private static let page = 4096

  /// - Parameters:
  ///   - examples: index in the data set and number of rows of each that may be kept, in data-set order.
  ///   - width: values of a row.
  ///   - limit: most bytes of what is kept.
  init(
    examples: [(index: Int, rows: Int)], width: Int, precision: StatePrecision, limit: Int = .max,
    step: StepRoom = StepRoom()
  ) {
    self.precision = precision
    self.width = width
    self.step = step
    let rowBytes = width * precision.bytesPerValue
    func bytes(_ count: Int, _ rows: Int) -> Int { count == 0 ? 0 : Self.flagBytes(count) + rows * rowBytes }
    var starts = [0]
    var numbers = [Int32](repeating: -1, count: (examples.map(\.index).max() ?? -1) + 1)
    for (index, rows) in examples {
      let number = starts.count - 1
      guard bytes(number + 1, starts[number] + rows) <= limit else { break }
      numbers[index] = Int32(number)
      starts.append(starts[number] + rows)
    }
    self.starts = starts
    self.numbers = numbers
    exampleCount = starts.count - 1
    keptByteCount = bytes(exampleCount, starts[exampleCount])
    byteCount = bytes(exampleCount + step.examples, starts[exampleCount] + step.rows)
  }

  private static func flagBytes(_ count: Int) -> Int { (4 * count + page - 1) / page * page }

  /// Where the states of an example are kept for the run; nil if they are not.
  func slot(of example: Int) -> Slot? {
    guard numbers.indices.contains(example), numbers[example] >= 0 else { return nil }
    let number = Int(numbers[example])
    return slot(number, rows: starts[number]..<starts[number + 1], round: 0)
  }

  /// Slots for the members of a batch that have none for the run, as many as there is room for.
  func passingSlots(_ batch: [(example: Int, rows: Int)], round: UInt32) -> [Int: Slot] {
    var slots: [Int: Slot] = [:]
    var row = 0
    for (example, rows) in batch where slot(of: example) == nil {
      guard slots.count < step.examples, row + rows <= step.rows else { continue }
      let start = starts[exampleCount] + row
      slots[example] = slot(exampleCount + slots.count, rows: start..<start + rows, round: round)
      row += rows
    }
    return slots
  }

  private func slot(_ number: Int, rows: Range<Int>, round: UInt32) -> Slot {
    Slot(
      number: number,
      offset: Self.flagBytes(exampleCount + step.examples) + rows.lowerBound * width * precision.bytesPerValue,
      valueCount: rows.count * width, round: round)
  }
}
