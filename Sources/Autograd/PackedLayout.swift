/// Where the sequences of a leaf lie in an activation `[tokens, width]`: end to end, without padding.
public struct PackedLayout: Sendable, Equatable {
  /// First row of each sequence.
  public let starts: [Int]
  /// Rows of each sequence.
  public let lengths: [Int]
  /// Position of each sequence's first row in it: where only its end lies here. Nil where all begin at 0.
  private let firstPositions: [Int]?
  /// What dropout masks are keyed by: the data-set index of each sequence's example.
  public let examples: [UInt32]
  /// Where the second text of a pair begins in each sequence, counted from its start; its end for a single text. Nil where
  /// nobody tells.
  public let secondStarts: [Int]?

  public init(lengths: [Int], examples: [UInt32], secondStarts: [Int]? = nil) {
    precondition(lengths.count == examples.count, "\(lengths.count) lengths for \(examples.count) examples")
    var starts: [Int] = []
    var next = 0
    for length in lengths {
      starts.append(next)
      next += length
    }
    self.init(starts: starts, lengths: lengths, examples: examples, secondStarts: secondStarts)
  }

  /// Sequences with gaps between them, as in a key/value cache.
  public init(starts: [Int], lengths: [Int], examples: [UInt32], secondStarts: [Int]? = nil) {
    self.init(
      starts: starts, lengths: lengths, examples: examples, secondStarts: secondStarts, firstPositions: nil)
  }

  private init(
    starts: [Int], lengths: [Int], examples: [UInt32], secondStarts: [Int]?, firstPositions: [Int]?
  ) {
    self.secondStarts = secondStarts
    self.firstPositions = firstPositions
    self.starts = starts
    self.lengths = lengths
    self.examples = examples
  }

  public var sequenceCount: Int { lengths.count }
  public var tokenCount: Int { lengths.reduce(0, +) }
  public var longest: Int { lengths.max() ?? 0 }

  /// The same sequences, each `count` rows longer in front.
  public func lengthened(by count: Int) -> PackedLayout {
    PackedLayout(
      lengths: lengths.map { $0 + count }, examples: examples, secondStarts: secondStarts?.map { $0 + count })
  }

  /// Some of the sequences, where they are.
  public func part(_ active: [Int]) -> PackedLayout {
    PackedLayout(
      starts: active.map { starts[$0] }, lengths: active.map { lengths[$0] }, examples: active.map { examples[$0] })
  }

  /// The first row of every sequence.
  public var firsts: RowSelection {
    RowSelection(
      rows: starts.map { Int32($0) }, layout: PackedLayout(lengths: lengths.map { _ in 1 }, examples: examples))
  }

  /// The last rows of every sequence, as many as `counts` says; they keep their positions.
  public func tails(_ counts: [Int]) -> RowSelection {
    let rows = counts.indices.flatMap { index in
      let end = starts[index] + lengths[index]
      return (end - counts[index]..<end).map { Int32($0) }
    }
    let packed = PackedLayout(lengths: counts, examples: examples)
    return RowSelection(
      rows: rows,
      layout: PackedLayout(
        starts: packed.starts, lengths: counts, examples: examples, secondStarts: nil,
        firstPositions: zip(lengths, counts).map { $0 - $1 }))
  }

  /// Rows at some positions of each sequence, ascending. They are numbered anew.
  public func positions(_ positions: [[Int]]) -> RowSelection {
    RowSelection(
      rows: zip(starts, positions).flatMap { start, own in own.map { Int32(start + $0) } },
      layout: PackedLayout(lengths: positions.map(\.count), examples: examples))
  }

  /// Example and position of every row, in row order: the key of dropout masks.
  var rowKeys: (examples: [UInt32], positions: [UInt32]) {
    var rowExamples: [UInt32] = []
    var positions: [UInt32] = []
    rowExamples.reserveCapacity(tokenCount)
    positions.reserveCapacity(tokenCount)
    for (index, length) in lengths.enumerated() {
      let first = firstPositions?[index] ?? 0
      for position in first..<first + length {
        rowExamples.append(examples[index])
        positions.append(UInt32(position))
      }
    }
    return (rowExamples, positions)
  }
}

/// Some rows of packed sequences, and how they lie once they are taken out.
public struct RowSelection: Sendable {
  public let rows: [Int32]
  public let layout: PackedLayout
}
